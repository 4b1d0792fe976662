"""Finds the shapes of outputs by running the file with several batches and lengths.

A size that follows the batch is the batch's axis, one that follows the frames is time's. Values are
compared elsewhere; a shape that fits is no proof of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.options import Array
from rnnedge_runtime.contract import BATCH, TIME, Dim

Run: TypeAlias = Callable[[int, int], Mapping[str, Array]]
"""Outputs by name, for so many rows and frames."""


def measure_outputs(
    run: Run, *, has_batch: bool, frames: Sequence[int], where: str
) -> dict[str, tuple[Dim, ...]]:
    """Shapes by name.

    Args:
        run: gives all outputs.
        has_batch: whether the rows may vary.
        frames: two lengths to try, or one if the length may not vary.
        where: the file, for errors.

    Raises:
        AdoptionError: a size follows neither, or both.
    """
    first = frames[0]
    base_batch = 2 if has_batch else 1
    base = run(base_batch, first)
    wide = run(3, first) if has_batch else base
    long = run(base_batch, frames[1]) if len(frames) > 1 else base
    found = {}
    for name, array in base.items():
        if not array.ndim == wide[name].ndim == long[name].ndim:
            raise _odd(name, "its number of axes changes from run to run", where)
        sizes = zip(array.shape, wide[name].shape, long[name].shape, strict=True)
        found[name] = tuple(
            _fit(name, index, size, (base_batch, first, frames[-1]), where)
            for index, size in enumerate(sizes)
        )
    return found


def _fit(
    name: str, axis: int, size: tuple[int, int, int], at: tuple[int, int, int], where: str
) -> Dim:
    base, wide, long = size
    batch, first, second = at
    if base == wide == long:
        return base
    if base == long and base % batch == 0 and base * 3 == wide * batch:
        return _times(base // batch, BATCH)
    if base == wide and base % first == 0 and base * second == long * first:
        return _times(base // first, TIME)
    raise _odd(
        name,
        f"axis {axis} has {base} entries for {batch} rows and {first} frames, {wide} for 3 rows, "
        f"{long} for {second} frames: a whole multiple of neither",
        where,
    )


def _times(factor: int, symbol: str) -> str:
    return symbol if factor == 1 else f"{factor}*{symbol}"


def _odd(name: str, what: str, where: str) -> AdoptionError:
    return AdoptionError(
        what,
        where=f"output {name!r}, {where}",
        fix="name the axes with --axes so that each output frame belongs to one input frame: a "
        "model that takes 160 samples for one result has '160*time'; samples that are seen again "
        "are a --context",
    )
