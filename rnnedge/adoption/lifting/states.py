"""The states of what the analysis found: names, shapes, and what they hold at the start."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.lifting.flows import Context, Flow, label
from rnnedge.adoption.lifting.places import Place
from rnnedge.adoption.lifting.recurrent import INITIAL_CELL, INITIAL_HIDDEN
from rnnedge.adoption.lifting.symbols import Shapes
from rnnedge.adoption.lifting.values import Values
from rnnedge.adoption.options import Array
from rnnedge.report.graph import attribute
from rnnedge_runtime.contract import BATCH, TENSOR_KEY_PREFIX, Dim, State, StateKind
from rnnedge_runtime.states import rows_of


@dataclass(frozen=True)
class Kept:
    """One state, and the place in the graph where it goes in and comes out.

    Attributes:
        node: a recurrence, or the node that pads.
        state: for the contract.
        slot: for a recurrence: the index of its initial state; the final one is 4 before it.
        context: for padding.
    """

    node: onnx.NodeProto
    state: State
    slot: int = 0
    context: Context | None = None


class StateMaker:
    """Makes the contract's states."""

    def __init__(
        self,
        shapes: Shapes,
        values: Values,
        rows: Mapping[str, Flow],
        samples: Mapping[int, Mapping[str, Array]],
        where: str,
    ) -> None:
        """Takes what the analysis found.

        Args:
            shapes: of all values.
            values: what is known without a signal.
            rows: where the batch lies in each value; empty if there is none.
            samples: inputs for several batches, by number of rows.
            where: the file, for errors.
        """
        self._shapes = shapes
        self._values = values
        self._rows = rows
        self._samples = samples
        self._where = where
        self._names: set[str] = set()
        self.tensors: dict[str, str] = {}

    def of_recurrence(self, node: onnx.NodeProto) -> list[Kept]:
        """``h``, and for an LSTM ``c``: ``[1, batch, hidden]``."""
        base = self._unique(state_name(node))
        hidden = int(str(attribute(node, "hidden_size", 0))) or self._size(node.input[2], 2)
        shape, axis, outer = self._dims(node.input[0], 1, [1, None, hidden], node)
        dtype = self._shapes.dtypes[node.input[0]]
        roles: list[tuple[str, StateKind, int]] = [("h", "hidden", INITIAL_HIDDEN)]
        if node.op_type == "LSTM":
            roles.append(("c", "cell", INITIAL_CELL))
        kept = []
        for suffix, kind, slot in roles:
            name = f"{base}.{suffix}"
            state = State(name, name, f"{name}.next", dtype, shape, axis, kind, outer)
            given = node.input[slot] if len(node.input) > slot else ""
            kept.append(Kept(node, self._started(state, given or None, 0.0), slot))
        return kept

    def of_context(self, context: Context) -> Kept:
        """The last frames before the run, in the shape of what they come before."""
        name = f"{self._unique(state_name(context.node))}.context"
        sizes: list[int | None] = [None] * len(self._shapes.of(context.source) or ())
        sizes[context.axis] = context.frames
        row = self._rows.get(context.source)
        row_axis = row.axis if isinstance(row, Place) else None
        shape, axis, outer = self._dims(context.source, row_axis, sizes, context.node)
        dtype = self._shapes.dtypes[context.source]
        state = State(name, name, f"{name}.next", dtype, shape, axis, "context", outer)
        state = self._started(state, context.initial, context.fill)
        return Kept(context.node, state, context=context)

    def _dims(
        self, source: str, row_axis: int | None, sizes: list[int | None], node: onnx.NodeProto
    ) -> tuple[tuple[Dim, ...], int | None, int]:
        """Shape, batch axis and `batch_outer`; open sizes are those of `source`."""
        row = self._rows.get(source)
        shape: list[Dim] = []
        axis, outer = None, 1
        for index, size in enumerate(sizes):
            if size is not None:
                shape.append(size)
            elif isinstance(row, Place) and index == row_axis:
                axis, outer = index, self._whole(row.outer, node)
                factor = self._whole(row.outer * row.inner, node)
                shape.append(BATCH if factor == 1 else f"{factor}*{BATCH}")
            else:
                shape.append(self._size(source, index, node))
        return tuple(shape), axis, outer

    def _size(self, name: str, index: int, node: onnx.NodeProto | None = None) -> int:
        return self._whole((self._shapes.of(name) or ())[index], node)

    def _whole(self, size: Any, node: onnx.NodeProto | None) -> int:
        if size is None or not size.is_Integer:
            raise AdoptionError(
                f"a state would have the size {size}, and only the batch may be open",
                where=f"node {label(node) if node is not None else '?'!r}, {self._where}",
                fix="name the sizes that are fixed with --axes",
            )
        return int(size)

    def _started(self, state: State, initial: str | None, fill: float) -> State:
        """What it holds at the start; the same for every row."""
        if initial is None:
            return replace(state, fill=fill)
        found = {batch: self._values.at(initial, feed) for batch, feed in self._samples.items()}
        one = self._one_row(state, found[min(found)], initial)
        for array in found.values():
            rows = rows_of(state, np.ascontiguousarray(array))
            if state.batch_axis is not None and not (rows == rows_of(state, one)).all():
                raise AdoptionError(
                    "its rows do not start alike, and a stream starts each row in the same way",
                    where=f"initial value {initial!r} of state {state.name!r}, {self._where}",
                    fix="export it with one start for all rows",
                )
        if one.size and (one == one.reshape(-1)[0]).all() and np.isfinite(one).all():
            return replace(state, fill=float(one.reshape(-1)[0]))
        key = TENSOR_KEY_PREFIX + state.name
        little = one.astype(one.dtype.newbyteorder("<"))
        self.tensors[key] = base64.b64encode(little.tobytes()).decode()
        return replace(state, tensor=key)

    def _one_row(self, state: State, array: Array, initial: str) -> Array:
        if state.batch_axis is None:
            return array
        view = rows_of(state, np.ascontiguousarray(array))
        one = view.take([0], axis=state.batch_axis + 1)
        return one.reshape(
            *array.shape[: state.batch_axis], -1, *array.shape[state.batch_axis + 1 :]
        )

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate


def state_name(node: onnx.NodeProto) -> str:
    """``/encoder/gru/GRU`` is ``encoder.gru``; ``/gru/GRU_1`` is ``gru_1``."""
    parts = [part for part in label(node).split("/") if part]
    if not parts:
        return node.op_type
    head, last = parts[:-1], parts[-1]
    number = last.removeprefix(node.op_type)
    if head and last.startswith(node.op_type) and (not number or number[0] == "_"):
        return ".".join(head) + number
    return ".".join(parts)
