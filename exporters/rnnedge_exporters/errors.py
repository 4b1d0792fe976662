"""Errors of the way from a module to a file; each says what, where and how to fix it."""

from __future__ import annotations

from rnnedge_runtime.errors import RnnEdgeError


def first_lines(error: BaseException, count: int = 1) -> str:
    """The beginning of another library's message, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:count])[:500] or "no message"


class SourceError(RnnEdgeError):
    """The module or its weights could not be had."""


class SpecError(RnnEdgeError, ValueError):
    """An input or state specification does not parse, or does not fit the module's forward."""


class CaptureError(RnnEdgeError):
    """The module cannot be captured as one graph with a free batch and length."""


class StreamingError(RnnEdgeError):
    """The module is captured, but what it computes is not a stream."""


class LoweringError(RnnEdgeError):
    """The graph holds what ONNX, or onnxruntime, has no operator for."""
