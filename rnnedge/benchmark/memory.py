"""Memory: of the model, and of one more stream, by opening many."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnedge.parity.measure import Array
from rnnedge_runtime import Model, Stream
from rnnedge_runtime.arrays import shape_of
from rnnedge_runtime.contract import BATCH, Contract

_STATM = Path("/proc/self/statm")
_MOST_STREAMS = 256
_MOST_SECONDS = 0.5
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Memory:
    """Bytes; None where the system does not tell the resident set.

    Attributes:
        model_bytes: by how much the resident set grew when the model was loaded.
        stream_bytes: by how much it grew per stream; onnxruntime's bindings, Python's objects and
            the buffers of one chunk length included.
        streams: how many were opened to find out.
        state_bytes: what the contract says one stream carries; exact.
    """

    model_bytes: int | None
    stream_bytes: int | None
    streams: int
    state_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


def resident_bytes() -> int | None:
    """The resident set of this process, now; None where the system does not tell it."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def state_bytes(contract: Contract, batch: int) -> int:
    """What a stream of so many rows carries from run to run."""
    return sum(
        np.dtype(state.dtype).itemsize * math.prod(shape_of(state, {BATCH: batch}))
        for state in contract.states
    )


def measure_memory(
    model: Model, inputs: Mapping[str, Array], batch: int, model_bytes: int | None
) -> Memory:
    """Opens streams, pushes once into each, and sees by how much the resident set grows.

    Args:
        model: loaded.
        inputs: of one push.
        batch: rows of a stream.
        model_bytes: what loading took, as it was measured.
    """
    end = time.perf_counter() + _MOST_SECONDS
    # The first ones take what the allocator still has from before.
    streams = [_opened(model, inputs, batch) for _ in range(8)]
    before, already = resident_bytes(), len(streams)
    held = state_bytes(model.contract, batch)
    most = already + min(_MOST_STREAMS, max(_MOST_BYTES // max(2 * held, 1), 1))
    while len(streams) < most and time.perf_counter() < end:
        streams.append(_opened(model, inputs, batch))
    after, count = resident_bytes(), len(streams) - already
    grown = None
    if before is not None and after is not None and count:
        grown = max(after - before, 0) // count
    return Memory(model_bytes, grown, count, held)


def _opened(model: Model, inputs: Mapping[str, Array], batch: int) -> Stream:
    stream = model.stream(batch)
    stream.push(inputs)
    return stream
