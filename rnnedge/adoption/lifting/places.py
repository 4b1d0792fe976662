"""Where the frames (or the rows) of a value lie: on which axis, and folded with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy

from rnnedge.adoption.lifting.symbols import Size, has

ONE = sympy.Integer(1)


class OddShapeError(Exception):
    """The frames do not lie along one axis, or cannot be followed."""


@dataclass(frozen=True)
class Place:
    """An axis is ``[outer, length, inner]`` flattened.

    `length` is the symbol for the frames of the signal, less `start`, plus `excess`.

    Attributes:
        axis: where.
        outer: sizes folded in before the frames.
        inner: sizes folded in after them.
        start: the number of the first frame; below 0 where past frames come again.
        excess: frames at the end that stand for the time after the signal, and mean nothing.
    """

    axis: int
    outer: Any = ONE
    inner: Any = ONE
    start: int = 0
    excess: int = 0

    @property
    def is_folded(self) -> bool:
        """Whether the axis holds more than the frames."""
        return bool(self.outer != 1 or self.inner != 1)

    @property
    def is_plain(self) -> bool:
        """Whether it holds exactly the frames of the signal."""
        return self.start == 0 and self.excess == 0

    def on(self, axis: int) -> Place:
        """The same, on another axis."""
        return replace(self, axis=axis)


def axis_of(shape: Sequence[Size] | None, symbol: Any) -> int | None:
    """The axis that depends on `symbol`.

    Raises:
        OddShapeError: several do, or that is not known.
    """
    if shape is None:
        raise OddShapeError("its number of axes is not known")
    if any(size is None for size in shape):
        raise OddShapeError("one of its sizes is not a multiple of batch or time")
    axes = [index for index, size in enumerate(shape) if has(size, symbol)]
    if len(axes) > 1:
        raise OddShapeError(f"several of its axes grow with {symbol}")
    return axes[0] if axes else None


def length_offset(size: Size, symbol: Any) -> int:
    """The c in ``a * (symbol + c)``.

    Raises:
        OddShapeError: the size has another form.
    """
    poly = sympy.Poly(size, symbol)
    if poly.degree() == 1:
        slope, offset = poly.all_coeffs()
        ratio = sympy.cancel(offset / slope)
        if ratio.is_Integer:
            return int(ratio)
    raise OddShapeError(f"its size {size} is no multiple of {symbol} frames")


def place_after_view(
    place: Place, before: Sequence[Size], after: Sequence[Size] | None, symbol: Any
) -> Place:
    """Where the frames lie after the same elements were given another shape.

    Raises:
        OddShapeError: the new axes cut through the frames.
    """
    axis = axis_of(after, symbol)
    if axis is None or after is None:
        raise OddShapeError("its frames are on no axis any more")
    offset = place.excess - place.start
    if length_offset(after[axis], symbol) != offset:
        raise OddShapeError("its frames are divided anew")
    ahead = sympy.Mul(place.outer, *before[: place.axis])
    outer = _whole(ahead / sympy.Mul(*after[:axis]))
    inner = _whole(after[axis] / (outer * (symbol + offset)))
    return replace(place, axis=axis, outer=outer, inner=inner)


def _whole(ratio: Any) -> Any:
    """The quotient, if it is a whole product of sizes."""
    ratio = sympy.cancel(ratio)
    numerator, denominator = ratio.as_numer_denom()
    if denominator != 1 or numerator.is_Add:
        raise OddShapeError("its frames are divided anew")
    return numerator
