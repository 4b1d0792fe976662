"""Recurrent and causal PyTorch networks to streaming ONNX, proven equal.

``import rnnedge`` is the one name users need; it costs nothing until an attribute is used, so
that a device can `load` and stream without torch, and the command line starts at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnedge.benchmark import BenchOptions, BenchReport, bench
    from rnnedge.parity import ParityReport, verify, verify_golden
    from rnnedge.pipeline import ExportResult, export
    from rnnedge.quality import Quality, compare
    from rnnedge.quantizing import QuantizeResult, quantize
    from rnnedge.tuning import TuneOptions, TuneReport, tune
    from rnnedge_exporters.scan import scan
    from rnnedge_runtime import (
        AsyncBatch,
        Batch,
        Contract,
        Model,
        RnnEdgeError,
        Stream,
        load,
    )

    __version__: str

__all__ = [
    "AsyncBatch",
    "Batch",
    "BenchOptions",
    "BenchReport",
    "Contract",
    "ExportResult",
    "Model",
    "ParityReport",
    "Quality",
    "QuantizeResult",
    "RnnEdgeError",
    "Stream",
    "TuneOptions",
    "TuneReport",
    "__version__",
    "bench",
    "compare",
    "export",
    "load",
    "quantize",
    "scan",
    "tune",
    "verify",
    "verify_golden",
]

_HOME = {
    "AsyncBatch": "rnnedge_runtime",
    "Batch": "rnnedge_runtime",
    "BenchOptions": "rnnedge.benchmark",
    "BenchReport": "rnnedge.benchmark",
    "Contract": "rnnedge_runtime",
    "ExportResult": "rnnedge.pipeline",
    "Model": "rnnedge_runtime",
    "ParityReport": "rnnedge.parity",
    "Quality": "rnnedge.quality",
    "QuantizeResult": "rnnedge.quantizing",
    "RnnEdgeError": "rnnedge_runtime",
    "Stream": "rnnedge_runtime",
    "TuneOptions": "rnnedge.tuning",
    "TuneReport": "rnnedge.tuning",
    "bench": "rnnedge.benchmark",
    "compare": "rnnedge.quality",
    "export": "rnnedge.pipeline",
    "load": "rnnedge_runtime",
    "quantize": "rnnedge.quantizing",
    "scan": "rnnedge_exporters.scan",
    "tune": "rnnedge.tuning",
    "verify": "rnnedge.parity",
    "verify_golden": "rnnedge.parity",
}
_EXPORT_PACKAGES = {"rnnedge_exporters", "torch", "onnxscript", "onnx_ir", "safetensors"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rnnedge")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXPORT_PACKAGES:
            raise
        raise _missing_exporters(name, error) from error
    globals()[name] = value  # the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _missing_exporters(name: str, error: ModuleNotFoundError) -> Exception:
    from rnnedge_runtime.errors import RnnEdgeError

    return RnnEdgeError(
        f"the exporters are not installed (no module {error.name!r})",
        where=f"rnnedge.{name}",
        fix='pip install "rnnedge[export]"',
    )
