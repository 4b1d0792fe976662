"""Where an error lies: the channel closest to its limit, by row and frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnedge_runtime.arrays import Array
from rnnedge_runtime.contract import TIME, Dim, dim_factor


@dataclass(frozen=True)
class Farthest:
    """The errors of one channel in one run.

    Attributes:
        used: which share of what was allowed by then the largest of them is.
        channel: the index along the axes that are neither batch nor time.
        errors: along the other axes.
        batch: rows of the run.
        offset: by axis, where what was compared begins in the tensor.
    """

    used: float
    channel: tuple[int, ...]
    errors: Array
    batch: int
    offset: Mapping[int, int] = field(default_factory=dict)

    def first(self, allowed: float, axes: Sequence[Dim]) -> dict[str, int] | None:
        """The earliest place beyond `allowed`, by axis; None where nothing is."""
        beyond = self.errors > allowed
        if not beyond.any():
            return None
        names = [dim for dim in axes if isinstance(dim, str)]
        order = sorted(range(len(names)), key=lambda axis: not dim_factor(names[axis], TIME))
        in_time = np.argwhere(beyond.transpose(order))[0]
        return self._named(dict(zip(order, map(int, in_time), strict=True)), axes)

    def largest(self, axes: Sequence[Dim]) -> dict[str, int]:
        """The place of the largest error, by axis."""
        place = np.unravel_index(int(self.errors.argmax()), self.errors.shape)
        return self._named(dict(enumerate(map(int, place))), axes)

    def _named(self, index: Mapping[int, int], axes: Sequence[Dim]) -> dict[str, int]:
        symbols = iter(range(len(index)))
        channel = iter(self.channel)
        found = {}
        for axis, dim in enumerate(axes):
            place = index[next(symbols)] if isinstance(dim, str) else next(channel)
            found[axis_name(axes, axis)] = place + self.offset.get(axis, 0)
        return found


def axis_name(axes: Sequence[Dim], index: int) -> str:
    """``batch``, ``time``, or ``axis 2``."""
    dim = axes[index]
    return dim if isinstance(dim, str) else f"axis {index}"


def channel_of(error: Array, axes: Sequence[Dim], channel: tuple[int, ...]) -> Array:
    """The errors at one index along the axes that are neither batch nor time."""
    indices = iter(channel)
    return np.array(
        error[tuple(slice(None) if isinstance(dim, str) else next(indices) for dim in axes)]
    )
