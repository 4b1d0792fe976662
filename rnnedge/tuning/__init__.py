"""The fastest of the equivalent forms of a model file, found by measuring on this machine."""

from rnnedge.tuning.options import TuneOptions
from rnnedge.tuning.result import Tried, TuneReport
from rnnedge.tuning.tune import tune

__all__ = ["Tried", "TuneOptions", "TuneReport", "tune"]
