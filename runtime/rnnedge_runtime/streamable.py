"""Can this release stream that model? Said before the first frame, not by a wrong answer."""

from __future__ import annotations

import operator
from collections.abc import Iterable

from rnnedge_runtime.arrays import shape_text
from rnnedge_runtime.contract import BATCH, TIME, Contract, Port, State
from rnnedge_runtime.dims import split_dim
from rnnedge_runtime.errors import InputError


def check_streamable(contract: Contract) -> None:
    """Checks that the contract asks for nothing that `Stream` does not do.

    Raises:
        InputError: it is a sequence model, or has an output whose size is unknown before the run.
    """
    if contract.mode == "sequence":
        raise InputError(
            "the model runs whole sequences only: something in it needs all of time at once",
            where="contract, 'mode': sequence",
            fix="use Model.run, or export a causal model",
        )
    for port in contract.outputs:
        _check_output(port)


def _check_output(port: Port) -> None:
    where = f"output {port.name!r} {shape_text(port)}"
    unknown = [d for d in port.shape if isinstance(d, str) and split_dim(d)[1] not in (BATCH, TIME)]
    if unknown:
        raise InputError(
            f"the size {unknown[0]!r} of the output is not known before the run",
            where=where,
            fix="export the model with that size fixed, or use Model.run",
        )


def check_batch(contract: Contract, batch: int) -> int:
    """Checks the number of rows asked for.

    Raises:
        InputError: it is not a positive whole number, or is above 1 for a model without a batch.
    """
    try:
        rows = operator.index(batch)
    except TypeError:
        rows = 0
    if rows < 1:
        raise InputError(
            f"batch must be a whole number of 1 or more, got {batch!r}",
            where="batch",
            fix="give the number of signals that advance together",
        )
    tensors: tuple[Port | State, ...] = (*contract.inputs, *contract.states)
    if rows > 1 and all(tensor.batch_axis is None for tensor in tensors):
        raise InputError(
            f"batch is {rows}, but nothing in the model has a batch axis",
            where="batch",
            fix="open one stream per signal",
        )
    return rows


def check_rows(rows: Iterable[int], batch: int) -> list[int]:
    """The rows in order, each once.

    Raises:
        InputError: one is not a whole number from 0 to batch - 1. A mask of booleans is none.
    """
    try:
        given = list(rows)
        checked = sorted({operator.index(row) for row in given})
    except TypeError:
        given, checked = [], [-1]
    is_mask = any(isinstance(row, bool) for row in given)
    if is_mask or (checked and not 0 <= checked[0] <= checked[-1] < batch):
        raise InputError(
            f"rows must be a list of whole numbers from 0 to {batch - 1}, got {rows!r}",
            where="reset(rows=...)",
            fix="count rows from 0; leave rows out to reset them all",
        )
    return checked


def refuse_ended(where: str, *, is_ended: bool) -> None:
    """Raises InputError if the signal was ended by a flush."""
    if is_ended:
        raise InputError(
            "the signal has been ended by flush()",
            where=where,
            fix="reset() starts the next signal",
        )


def refuse_held(held: int, multiple: int) -> None:
    """Raises InputError if frames are held: a row starts again where a run starts."""
    if held:
        raise InputError(
            f"{held} frames are held; a row can only start again where a run does, after a "
            f"multiple of {multiple} frames",
            where="reset(rows=...)",
            fix=f"push {multiple - held} more frames first, or reset all rows",
        )
