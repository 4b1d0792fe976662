"""Is the stream the same function as the module? Answered by running both.

`verify` needs torch; the rest does not, so that a device can ask with a golden file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnedge.parity.explanation import Cause, Difference, Explanation
    from rnnedge.parity.golden import GoldenError
    from rnnedge.parity.replay import verify_golden
    from rnnedge.parity.report import Beyond, Check, ParityReport, TensorError
    from rnnedge.parity.verification import verify

__all__ = [
    "Beyond",
    "Cause",
    "Check",
    "Difference",
    "Explanation",
    "GoldenError",
    "ParityReport",
    "TensorError",
    "verify",
    "verify_golden",
]

_HOME = {
    "Beyond": "report",
    "Cause": "explanation",
    "Check": "report",
    "Difference": "explanation",
    "Explanation": "explanation",
    "GoldenError": "golden",
    "ParityReport": "report",
    "TensorError": "report",
    "verify": "verification",
    "verify_golden": "replay",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
