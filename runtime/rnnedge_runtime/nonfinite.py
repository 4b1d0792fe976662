"""NaN and Inf in an input: found, named, and taken out.

One of them in a recurrent state stays there for ever, so that a push looks before it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnedge_runtime.arrays import Array, shape_text
from rnnedge_runtime.contract import BATCH, TIME, Port, dim_factor
from rnnedge_runtime.errors import InputError


def refuse(ports: Sequence[Port], arrays: Sequence[Array]) -> None:
    """Raises InputError if there is a NaN or Inf in `arrays`, one per port."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise complaint(ports, arrays)


def complaint(ports: Sequence[Port], arrays: Sequence[Array]) -> InputError:
    """The error for the first NaN or Inf in `arrays`, one per port."""
    port, array = next(
        pair for pair in zip(ports, arrays, strict=True) if not np.isfinite(pair[1]).all()
    )
    place = np.argwhere(~np.isfinite(array))[0].tolist()
    parts = []
    if port.batch_axis is not None:
        parts.append(f"row {_row(port, place)}")
    if port.time_axis is not None:
        parts.append(
            f"frame {place[port.time_axis] // dim_factor(port.shape[port.time_axis], TIME)}"
        )
    parts.append(f"index {place}")
    return InputError(
        f"the input holds {array[tuple(place)]}, at {', '.join(parts)}",
        where=f"{port.name!r} {shape_text(port)}",
        fix="repair the signal, or open the stream with on_nonfinite='reset' or 'ignore'",
    )


def rows_with_nonfinite(ports: Sequence[Port], arrays: Sequence[Array], batch: int) -> list[int]:
    """The rows of the batch whose inputs hold NaN or Inf.

    An input without a batch axis belongs to every row.
    """
    rows: set[int] = set()
    for port, array in zip(ports, arrays, strict=True):
        bad = ~np.isfinite(array)
        if not bad.any():
            continue
        if port.batch_axis is None:
            return list(range(batch))
        rows.update(_row(port, place) for place in np.argwhere(bad).tolist())
    return sorted(rows)


def repaired(
    ports: Sequence[Port], arrays: tuple[Array, ...], what_to_do: str, batch: int
) -> tuple[tuple[Array, ...], list[int]]:
    """Arrays free of NaN and Inf, where they are to be, and the rows that held one.

    Args:
        ports: one per array.
        arrays: not changed.
        what_to_do: ``raise``, ``reset`` or ``ignore``, as in `Stream`.
        batch: number of rows.

    Raises:
        InputError: there is one, and `what_to_do` is ``raise``.
    """
    if what_to_do == "raise":
        refuse(ports, arrays)
    if what_to_do != "reset" or not (rows := rows_with_nonfinite(ports, arrays, batch)):
        return arrays, []
    copies = tuple(np.array(array) for array in arrays)
    clear(copies)
    return copies, rows


def clear(arrays: Sequence[Array]) -> None:
    """Sets every NaN and Inf to zero, in place; finite values stay."""
    for array in arrays:
        if array.dtype.kind == "f":
            array[~np.isfinite(array)] = 0


def _row(port: Port, place: Sequence[int]) -> int:
    """The row of the batch that one element belongs to; a folded axis is [batch, factor]."""
    assert port.batch_axis is not None  # noqa: S101 - asked by the callers
    return place[port.batch_axis] // dim_factor(port.shape[port.batch_axis], BATCH)
