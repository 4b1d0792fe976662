"""Errors of the way from a module to a file; each says what, where and how to fix it."""

from __future__ import annotations

import traceback
from pathlib import Path

from rnnedge_runtime.errors import RnnEdgeError


def first_lines(error: BaseException, count: int = 1) -> str:
    """The beginning of another library's message, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # torch's tracer names the innermost line that is not its own, which may be one of this package.
    lines = [line for line in lines if not (line.startswith("Caused by:") and _OURS in line)]
    return " ".join(lines[:count])[:500] or "no message"


def user_lines(error: BaseException) -> list[str]:
    """The innermost line that is neither torch's nor ours, ``file.py:12: code``; or nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not {"torch", _OURS} & set(Path(f.filename).parts) and f.line]
    return [f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}" for frame in own[-1:]]


_OURS = __name__.partition(".")[0]


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


class QuantizeError(RnnEdgeError):
    """The file cannot be quantised, or not in the way asked for."""
