"""Stateful streaming of ONNX models that carry an rnnedge contract."""

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from rnnedge_runtime.batch import Batch, BatchStream
    from rnnedge_runtime.batch.front import AsyncBatch, AsyncStream

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


_HOME = {
    "AsyncBatch": "rnnedge_runtime.batch.front",
    "AsyncStream": "rnnedge_runtime.batch.front",
    "Batch": "rnnedge_runtime.batch",
    "BatchStream": "rnnedge_runtime.batch",
}
"""What shares runs is imported when it is first used: a device with one stream starts without."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
