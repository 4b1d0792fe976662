"""Many streams of one model in shared runs."""

from rnnedge_runtime.batch.batch import Batch
from rnnedge_runtime.batch.front import AsyncBatch, AsyncStream
from rnnedge_runtime.batch.stream import BatchStream

__all__ = ["AsyncBatch", "AsyncStream", "Batch", "BatchStream"]
