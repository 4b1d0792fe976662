"""Writes a ``.npy`` file whose length is not known before its end."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from rnnedge_runtime.contract import Port

_HEADER_BYTES = 256
_COPIED_FRAMES = 4096


class NpyWriter:
    """Appends chunks along the time axis; `close` makes the file whole.

    The header comes first in the file but holds the length, so it is written last, over a space of
    fixed size. Chunks are appended frame after frame; where axes before time are larger than 1 (a
    batch), `close` copies the file into the order that ``.npy`` wants.
    """

    def __init__(self, path: Path, port: Port, *, batch: int, has_batch_axis: bool) -> None:
        self._path = path
        self._dtype = np.dtype(port.dtype).newbyteorder("<")
        self._dropped = None if has_batch_axis else port.batch_axis
        sizes = [dim if isinstance(dim, int) else batch for dim in port.shape]
        self._time_axis = port.time_axis
        if self._dropped is not None:
            del sizes[self._dropped]
            if self._time_axis is not None and self._dropped < self._time_axis:
                self._time_axis -= 1
        if self._time_axis is not None:
            del sizes[self._time_axis]
        self._frame_shape = tuple(sizes)
        self._frames = 0
        self._file = path.open("wb")
        self._file.write(bytes(_HEADER_BYTES))

    def write(self, chunk: np.ndarray) -> None:
        """Appends a chunk; of a port without a time axis the last one counts."""
        if self._dropped is not None:
            chunk = np.squeeze(chunk, self._dropped)
        if self._time_axis is None:
            self._file.seek(_HEADER_BYTES)
        else:
            chunk = np.moveaxis(chunk, self._time_axis, 0)
            self._frames += len(chunk)
            self._frame_shape = chunk.shape[1:]
        self._file.write(chunk.astype(self._dtype, order="C", copy=False).tobytes())
        self._file.flush()  # a live stream may be watched, or killed

    def close(self) -> None:
        """Completes the file with what has been written so far."""
        with self._file:
            self._file.seek(0)
            self._file.write(_header(self._dtype, self._shape()))
        if self._frames and math.prod(self._frame_shape[: self._time_axis]) > 1:
            self._reorder()

    def _shape(self) -> tuple[int, ...]:
        shape = list(self._frame_shape)
        if self._time_axis is not None:
            shape.insert(self._time_axis, self._frames)
        return tuple(shape)

    def _reorder(self) -> None:
        written = np.memmap(
            self._path, self._dtype, "r", _HEADER_BYTES, (self._frames, *self._frame_shape)
        )
        ordered = self._path.with_name(self._path.name + ".ordered")
        result = np.lib.format.open_memmap(ordered, "w+", self._dtype, self._shape())
        by_frame = np.moveaxis(result, self._time_axis or 0, 0)
        for start in range(0, self._frames, _COPIED_FRAMES):
            by_frame[start : start + _COPIED_FRAMES] = written[start : start + _COPIED_FRAMES]
        result.flush()
        ordered.replace(self._path)


def _header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """A header of version 1.0 (see `numpy.lib.format`), padded with spaces to a fixed size."""
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    prefix = b"\x93NUMPY\x01\x00" + struct.pack("<H", _HEADER_BYTES - 10)
    return prefix + repr(facts).encode().ljust(_HEADER_BYTES - 11) + b"\n"
