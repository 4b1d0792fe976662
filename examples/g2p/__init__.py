"""g2p-en, which tells how an English word is pronounced, with its published weights."""
