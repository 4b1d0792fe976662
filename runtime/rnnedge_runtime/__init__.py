"""Stateful streaming of ONNX models that carry an rnnedge contract."""

from rnnedge_runtime.contract import Contract, Port, Signal, State
from rnnedge_runtime.errors import (
    ContractError,
    InputError,
    ModelFileError,
    ProviderError,
    RnnEdgeError,
    SnapshotError,
)
from rnnedge_runtime.model import Model, RunResult, load
from rnnedge_runtime.stream import Stream

__all__ = [
    "Contract",
    "ContractError",
    "InputError",
    "Model",
    "ModelFileError",
    "Port",
    "ProviderError",
    "RnnEdgeError",
    "RunResult",
    "Signal",
    "SnapshotError",
    "State",
    "Stream",
    "load",
]
