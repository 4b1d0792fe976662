"""Is the stream the same function as the module? Answered by running both."""

from rnnedge.parity.explanation import Cause, Difference, Explanation
from rnnedge.parity.report import Check, ParityReport, TensorError
from rnnedge.parity.verification import verify

__all__ = [
    "Cause",
    "Check",
    "Difference",
    "Explanation",
    "ParityReport",
    "TensorError",
    "verify",
]
