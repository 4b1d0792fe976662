"""A keyword detector with attention over a limited past."""
