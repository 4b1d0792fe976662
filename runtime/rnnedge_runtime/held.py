"""Held: frames that wait until there are enough for a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnedge_runtime.arrays import Array
from rnnedge_runtime.contract import BATCH, TIME, Port, dim_factor
from rnnedge_runtime.dims import split_dim


class Held:
    """What pushes have left over: fewer frames than a run takes, for each input.

    Of an input without a time axis the value given last is kept, because the next run may be the
    one that `flush` makes, which nobody gives inputs.

    Attributes:
        frames: how many are held.
    """

    def __init__(self, ports: Sequence[Port], multiple: int) -> None:
        self.frames = 0
        self._ports = ports
        self._multiple = multiple
        self._arrays: tuple[Array, ...] = ()

    def ready(self, frames: int) -> int:
        """How many frames can run once `frames` more are there."""
        total = self.frames + frames
        return total - total % self._multiple

    def divide(
        self, arrays: tuple[Array, ...], frames: int
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """What can run now, and what is left over. Changes nothing.

        Args:
            arrays: one push's inputs, which must fit already.
            frames: how many they have.
        """
        total, ready = self.frames + frames, self.ready(frames)
        if self.frames:
            arrays = tuple(map(_joined, self._ports, self._arrays, arrays))
        if ready == total:
            return arrays, parts(self._ports, arrays, total, total)
        return parts(self._ports, arrays, 0, ready), parts(self._ports, arrays, ready, total)

    def keep(self, arrays: Sequence[Array], frames: int) -> None:
        """Holds copies of `frames` frames from now on, in place of what was held."""
        self._arrays = tuple(np.array(array) for array in arrays)
        self.frames = frames

    def drop(self) -> None:
        """Holds nothing, as at the start."""
        self.keep((), 0)

    def waiting(self, last_run: Sequence[Array]) -> tuple[Array, ...]:
        """What the next run begins with, one array per input; none if nothing was given yet.

        Args:
            last_run: the inputs of the run before; none if there was none.
        """
        if self.frames or not last_run:
            return self._arrays
        return parts(self._ports, last_run, 0, 0)

    def padded(self, last_run: Sequence[Array], batch: int, frames: int) -> tuple[Array, ...]:
        """`waiting`, and zeros up to `frames` frames."""
        waiting = self.waiting(last_run) or tuple(_blank(port, batch) for port in self._ports)
        return tuple(
            _padded(port, array, frames - self.frames)
            for port, array in zip(self._ports, waiting, strict=True)
        )


def parts(
    ports: Sequence[Port], arrays: Sequence[Array], start: int, stop: int
) -> tuple[Array, ...]:
    """Some of the frames of each input; all of what has no time."""
    return tuple(
        array if port.time_axis is None else array[_span(port, start, stop)]
        for port, array in zip(ports, arrays, strict=True)
    )


def _span(port: Port, start: int, stop: int) -> tuple[slice, ...]:
    assert port.time_axis is not None  # noqa: S101 - asked by the callers
    entries = dim_factor(port.shape[port.time_axis], TIME)
    return (*(slice(None),) * port.time_axis, slice(start * entries, stop * entries))


def _joined(port: Port, before: Array, after: Array) -> Array:
    if port.time_axis is None:
        return after
    return np.concatenate([before, after], axis=port.time_axis)


def _padded(port: Port, array: Array, frames: int) -> Array:
    if port.time_axis is None or frames <= 0:
        return array
    shape = list(array.shape)
    shape[port.time_axis] = frames * dim_factor(port.shape[port.time_axis], TIME)
    return np.concatenate([array, np.zeros(shape, array.dtype)], axis=port.time_axis)


def _blank(port: Port, batch: int) -> Array:
    """No frames, and zeros for what has no time; a size that the caller chooses is 1."""
    sizes = {BATCH: batch, TIME: 0}
    shape = []
    for dim in port.shape:
        factor, symbol = (dim, "") if isinstance(dim, int) else split_dim(dim)
        shape.append(factor * sizes.get(symbol, 1))
    return np.zeros(shape, port.dtype)
