"""Finds what a graph forgets between runs, and keeps it in states. See `lift`."""
