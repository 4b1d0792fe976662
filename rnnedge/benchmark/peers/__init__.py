"""Other runtimes on the same weights: one file each, behind one protocol."""
