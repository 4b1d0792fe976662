"""Can streams of that model share runs? And what else a batch refuses."""

from __future__ import annotations

import operator

from rnnedge_runtime.arrays import shape_text
from rnnedge_runtime.contract import Contract, Port, State
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.streamable import check_streamable


def check_batchable(contract: Contract) -> None:
    """Checks that everything in the model has a row for each stream.

    Raises:
        InputError: an input, an output or a state has no batch axis, or the model cannot stream.
    """
    check_streamable(contract)
    tensors: tuple[Port | State, ...] = (*contract.inputs, *contract.outputs, *contract.states)
    for tensor in tensors:
        if tensor.batch_axis is None:
            raise InputError(
                "this tensor has no batch axis, so that streams cannot share a run",
                where=f"{tensor.name!r} {shape_text(tensor)}",
                fix="export the model with a batch axis, or open one Model.stream per signal",
            )


def check_counts(**counts: object) -> None:
    """Checks the arguments of `Model.batch` that count something.

    Raises:
        InputError: one is not a whole number of 1 or more.
    """
    for name, value in counts.items():
        try:
            count = operator.index(value)  # type: ignore[arg-type]  # what it is for
        except TypeError:
            count = 0
        if count < 1:
            raise InputError(
                f"{name} must be a whole number of 1 or more, got {value!r}",
                where=f"batch({name}=...)",
                fix="see Model.batch for what it means",
            )
