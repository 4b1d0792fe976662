"""The command line: one file per command, ``_main`` ties them together."""

from rnnedge.cli._main import main

__all__ = ["main"]
