"""The error of this package."""

from __future__ import annotations

from rnnedge_runtime.errors import RnnEdgeError


class AdoptionError(RnnEdgeError):
    """The file cannot become a stream in the way asked for. Nothing is written."""
