"""What cannot be measured, or not as it was asked for."""

from __future__ import annotations

from rnnedge_runtime.errors import RnnEdgeError


class BenchError(RnnEdgeError, ValueError):
    """What was asked for makes no sense, or not for this file."""
