"""Stateful streaming of ONNX models that carry an rnnedge contract."""

from rnnedge_runtime.batch import AsyncBatch, AsyncStream, Batch, BatchStream
from rnnedge_runtime.contract import Contract, Port, Signal, State
from rnnedge_runtime.errors import (
    ContractError,
    InputError,
    ModelFileError,
    ProviderError,
    QueueFullError,
    RnnEdgeError,
    SnapshotError,
)
from rnnedge_runtime.model import Model, RunResult, load
from rnnedge_runtime.stream import Stream

__all__ = [
    "AsyncBatch",
    "AsyncStream",
    "Batch",
    "BatchStream",
    "Contract",
    "ContractError",
    "InputError",
    "Model",
    "ModelFileError",
    "Port",
    "ProviderError",
    "QueueFullError",
    "RnnEdgeError",
    "RunResult",
    "Signal",
    "SnapshotError",
    "State",
    "Stream",
    "load",
]
