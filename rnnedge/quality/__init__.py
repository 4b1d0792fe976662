"""What a quantised file lost: how far its outputs are from the float file's, on a user's data."""

from rnnedge.quality.compare import compare
from rnnedge.quality.data import random_inputs
from rnnedge.quality.metric import Metric, MetricError, as_metric, load_metric
from rnnedge.quality.result import Budget, OutputQuality, Quality

__all__ = [
    "Budget",
    "Metric",
    "MetricError",
    "OutputQuality",
    "Quality",
    "as_metric",
    "compare",
    "load_metric",
    "random_inputs",
]
