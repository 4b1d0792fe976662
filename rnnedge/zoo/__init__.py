"""Reference models: small, readable, trained on this machine, exported by this project."""
