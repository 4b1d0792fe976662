"""PyTorch modules to ONNX graphs with explicit recurrent operators and explicit state."""

from rnnedge_exporters.analysis import Analysis, analyse
from rnnedge_exporters.convert import Converted, convert
from rnnedge_exporters.errors import (
    CaptureError,
    LoweringError,
    SourceError,
    SpecError,
    StreamingError,
)

__all__ = [
    "Analysis",
    "CaptureError",
    "Converted",
    "LoweringError",
    "SourceError",
    "SpecError",
    "StreamingError",
    "analyse",
    "convert",
]
