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

__all__ = [
    "Contract",
    "ContractError",
    "InputError",
    "ModelFileError",
    "Port",
    "ProviderError",
    "RnnEdgeError",
    "Signal",
    "SnapshotError",
    "State",
]
