"""Raw frames on stdin: little-endian numbers, frame after frame, axes in the model's order."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np

from rnnedge.cli._frames.ports import Arrays, Source, entries_per_frame
from rnnedge.report.units import shape_text
from rnnedge_runtime.contract import Port
from rnnedge_runtime.errors import InputError


def stdin_source(port: Port, batch: int) -> Source:
    """Chunks as they arrive; a whole chunk is waited for, unless the stream ends.

    Raises:
        InputError: the sizes of a frame are not all known; or, later, the stream ends inside one.
    """
    dims = [batch if axis == port.batch_axis else dim for axis, dim in enumerate(port.shape)]
    frame = [dim for axis, dim in enumerate(dims) if axis != port.time_axis]
    if port.time_axis is None or not all(isinstance(dim, int) for dim in frame):
        raise InputError(
            f"raw bytes do not tell the sizes of {shape_text(port.shape)}",
            where=f"input {port.name!r}, stdin",
            fix="give a .npy file",
        )
    sizes, time_axis = [int(dim) for dim in frame], port.time_axis
    dtype = np.dtype(port.dtype).newbyteorder("<")
    frame_bytes = math.prod(sizes) * dtype.itemsize * entries_per_frame(port)

    def chunks(size: int | None) -> Iterator[Arrays]:
        while data := sys.stdin.buffer.read(-1 if size is None else size * frame_bytes):
            rest = len(data) % frame_bytes
            block = np.frombuffer(data[: len(data) - rest], dtype).reshape(-1, *sizes)
            if len(block):
                in_order = np.moveaxis(block, 0, time_axis)
                yield {port.name: np.ascontiguousarray(in_order, dtype=port.dtype)}
            if rest:
                raise InputError(
                    f"the input ends inside a frame: {rest} of {frame_bytes} bytes came",
                    where=f"input {port.name!r}, stdin",
                    fix=f"send frames of {port.dtype}{shape_text(sizes)}, little-endian",
                )

    return Source(chunks, batch, has_batch_axis=batch > 1)
