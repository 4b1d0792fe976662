"""Many streams of one model in shared runs. The asyncio front is in `front`, imported on demand."""

from rnnedge_runtime.batch.batch import Batch
from rnnedge_runtime.batch.stream import BatchStream

__all__ = ["Batch", "BatchStream"]
