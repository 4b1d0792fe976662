"""Writes the streaming program: a graph of its own, node by node in the whole-sequence one's order.

What a run of the stream takes is a chunk of frames, a multiple of `multiple` of them; a tensor of
rate r has r frames there for each. Passes ask the writer for a tensor's past (`extended`), for it
later (`delayed`), or for it without what lies outside of the signal (`inside`), and the writer
keeps the states that this takes.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch.fx import Node

from rnnedge_exporters.streaming.axes import Place, size
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.nodes import NodeWriter, aten
from rnnedge_exporters.streaming.refusal import (
    SEQUENCE_MODE,
    refuse,
)
from rnnedge_runtime.contract import StateKind

__all__ = ["NEVER", "Writer", "aten"]

NEVER = 2.0**48
"""The length of a signal whose end is not known: more samples than a device ever hears."""


class Writer(NodeWriter):
    """The streaming program while it is written: past, delays, and the ends of the signal."""

    # -- time -------------------------------------------------------------------------------------

    def extended(
        self,
        origin: Node,
        source: Node,
        count: int,
        *,
        role: str = "context",
        fill: float = 0.0,
        chunk: Node | None = None,
        delay: int | None = None,
    ) -> Node:
        """The chunk of `source` with the `count` frames before it.

        Args:
            origin: the operator that needs them; it owns the state.
            source: of the whole-sequence program; has frames on an axis of their own.
            count: of frames; 0 gives the chunk itself.
            role: of the state.
            fill: stands for frames before the tensor's first.
            chunk: what to take for the chunk; `value(source)` when it is None.
            delay: of that chunk; the clock's when it is None.
        """
        chunk = self.value(source) if chunk is None else chunk
        if count <= 0:
            return chunk
        clock = self.clocks[source]
        axis = self.unfolded_axis(origin, clock)
        value = source.meta["val"]
        shape = [*value.shape[:axis], count, *value.shape[axis + 1 :]]
        if clock.edges is None:
            initial = self.history.before_start(origin, source, count, fill, delay)
        else:
            # What stands beyond the signal's start is fetched from the signal.
            sizes = [int(size(dim).subs(dict.fromkeys(size(dim).free_symbols, 1))) for dim in shape]
            initial = torch.full(sizes, fill, dtype=value.dtype)
        example = value.new_empty(shape)
        if value.is_complex():
            # A state is real: its last axis holds the two parts.
            chunk = self.call(origin, aten.view_as_real.default, chunk)
            initial, example = torch.view_as_real(initial), torch.view_as_real(example)
        start = self.state(origin, role, "context", example, initial, self.rows[source])
        joined = self.call(origin, aten.cat.default, [start, chunk], axis)
        self.end_state(start, self.slice(origin, joined, axis, -count, None))
        if value.is_complex():
            joined = self.call(origin, aten.view_as_complex.default, joined)
        return joined

    def delayed(self, origin: Node, source: Node, by: int) -> Node:
        """`source`, so many of its frames later."""
        if by == 0 or self.clocks[source].even:
            return self.value(source)
        key = ("delayed", source, by)
        if key not in self._cache:
            joined = self.extended(origin, source, by, role="delay")
            axis = self.unfolded_axis(origin, self.clocks[source])
            self._cache[key] = self.slice(origin, joined, axis, 0, -by)
        return self._cache[key]

    def late(self, node: Node, chunk: Node, by: int) -> Node:
        """`chunk`, which is `node` without its wait, so many frames later."""
        clock = self.clocks[node]
        joined = self.extended(node, node, by, role="delay", chunk=chunk, delay=clock.delay - by)
        return self.slice(node, joined, self.unfolded_axis(node, clock), 0, -by)

    def unfolded_axis(self, origin: Node, clock: Clock) -> int:
        """The axis of the frames, which nothing else may share.

        Raises:
            StreamingError: time is folded with another axis.
        """
        place = clock.place
        assert place is not None  # noqa: S101 - only tensors with frames are asked for
        if place.is_folded:
            raise refuse(
                origin,
                "time is folded into another axis here, and the past of this tensor is needed",
                f"reshape after this operator, not before it; or {SEQUENCE_MODE}",
            )
        return place.axis

    # -- the ends of the signal -------------------------------------------------------------------

    def inside(self, origin: Node, source: Node, fill: float, *, left: bool, right: bool) -> Node:
        """The chunk of `source`, `fill` standing for what lies before or after the signal."""
        chunk = self.value(source)
        if not (left or right):
            return chunk
        clock = self.clocks[source]
        mask = self._shaped(origin, self._valid(origin, source, left, right), source, clock)
        is_float = source.meta["val"].is_floating_point()
        return self.call(
            origin, aten.where.ScalarOther, mask, chunk, fill if is_float else int(fill)
        )

    def index(self, origin: Node, source: Node, extra: int = 0, delay: int | None = None) -> Node:
        """Which frame of the whole-sequence tensor each frame of the chunk is.

        Args:
            origin: who asks.
            source: has frames.
            extra: so many frames before the chunk are counted, too.
            delay: of the chunk; the clock's when it is None.

        Returns:
            int64, [rows, frames].
        """
        clock = self.clocks[source]
        late = (clock.delay if delay is None else delay) + extra
        key = ("index", clock.rate, late, extra, self.rows[source] is None)
        if key not in self._cache:
            first = self._scaled(origin, self._position(source), clock.rate)
            if late:
                first = self.call(origin, aten.sub.Tensor, first, late)
            count = self.frames(clock.rate)
            if extra:
                count = self.call(origin, operator.add, count, extra)
            steps = self.call(origin, aten.arange.default, count)
            column = self.call(origin, aten.unsqueeze.default, first, 1)
            self._cache[key] = self.call(origin, aten.add.Tensor, column, steps)
        return self._cache[key]

    def last_index(self, origin: Node, source: Node, length: Length) -> Node:
        """How many frames there will be in all; int64 [rows, 1]."""
        key = ("length", length, self.rows[source] is None)
        if key not in self._cache:
            node = self._signal_state(source, "length", NEVER)
            for mul, add, div in length.steps:
                node = self.call(origin, aten.mul.Tensor, node, mul) if mul != 1 else node
                node = self.call(origin, aten.add.Tensor, node, add) if add else node
                if div != 1:
                    node = self.call(origin, aten.floor_divide.Scalar, node, div)
            self._cache[key] = self.call(origin, aten.unsqueeze.default, node, 1)
        return self._cache[key]

    def _valid(self, origin: Node, source: Node, left: bool, right: bool) -> Node:
        """Which frames of the chunk lie inside of the signal; bool [rows, frames]."""
        clock = self.clocks[source]
        bounds = (left, right, clock.rate, clock.delay, clock.length)
        key = ("valid", *bounds, self.rows[source] is None)
        if key not in self._cache:
            index = self.index(origin, source)
            checks = []
            if left:
                checks.append(self.call(origin, aten.ge.Scalar, index, 0))
            if right:
                end = self.last_index(origin, source, clock.length)
                checks.append(self.call(origin, aten.lt.Tensor, index, end))
            both = checks[0]
            if len(checks) == 2:
                both = self.call(origin, aten.logical_and.default, *checks)
            self._cache[key] = both
        return self._cache[key]

    def _shaped(self, origin: Node, mask: Node, source: Node, clock: Clock) -> Node:
        """[rows, frames] as it broadcasts against `source`."""
        axis = self.unfolded_axis(origin, clock)
        return self.spread(origin, mask, source, axis)

    def spread(self, origin: Node, table: Node, source: Node, axis: int) -> Node:
        """Reshapes [rows, frames] so that it broadcasts against `source`."""
        ndim = source.meta["val"].ndim
        rows = self.rows[source]
        key = ("spread", table, ndim, axis, rows)
        if key in self._cache:
            return self._cache[key]
        if rows is not None and rows.is_folded:
            outer, inner = (self.size(origin, part) for part in (rows.outer, rows.inner))
            table = self.call(origin, aten.unsqueeze.default, table, 0)
            table = self.call(origin, aten.unsqueeze.default, table, 2)
            table = self.call(origin, aten.expand.default, table, [outer, -1, inner, -1])
            table = self.call(origin, aten.flatten.using_ints, table, 0, 2)
        if rows is not None and axis < rows.axis:
            table = self.call(origin, aten.transpose.int, table, 0, 1)
        places = sorted([axis, *([] if rows is None else [rows.axis])])
        if rows is None:
            table = self.call(origin, aten.squeeze.dim, table, 0)
        for other in range(ndim):
            if other not in places:
                table = self.call(origin, aten.unsqueeze.default, table, other)
        self._cache[key] = table
        return table

    def _scaled(self, origin: Node, node: Node, rate: Fraction) -> Node:
        if rate.numerator != 1:
            node = self.call(origin, aten.mul.Tensor, node, rate.numerator)
        if rate.denominator != 1:
            divisor = rate.denominator
            node = self.call(origin, aten.floor_divide.Scalar, node, divisor)
        return node

    def _position(self, source: Node) -> Node:
        """Input frames run before this chunk; int64 [rows]."""
        start = self._signal_state(source, "position", 0.0)
        key = ("advance", start)
        if key not in self._cache:
            count = self.frames(Fraction(1))
            self._cache[key] = self.call(self._an_input(), aten.add.Tensor, start, count)
            self.end_state(start, self._cache[key])
        return start

    def _signal_state(self, source: Node, role: StateKind, fill: float) -> Node:
        """A number for each row, or one for all when `source` has no rows."""
        has_rows = self.rows[source] is not None
        key = ("signal", role, has_rows)
        if key not in self._cache:
            origin = self._an_input()
            value = origin.meta["val"]
            place = self.rows[origin] if has_rows else None
            count = 1 if place is None else value.shape[place.axis]
            like = value.new_empty([count], dtype=torch.int64)
            initial = torch.full([1], fill, dtype=torch.float64).to(torch.int64)
            batch = None if place is None else Place(0)
            name = f"signal.{role}" if has_rows or self._no_rows() else f"signal.shared_{role}"
            self.reserve(name)
            self._cache[key] = self.state(
                origin, name, role, like, initial, batch, is_full_name=True
            )
        return self._cache[key]

    def _no_rows(self) -> bool:
        return all(place is None for place in self.rows.values())

    def _an_input(self) -> Node:
        """An input with rows, if any has."""
        inputs: Sequence[Node] = list(self.program.inputs.values())
        return next((node for node in inputs if self.rows[node] is not None), inputs[0])
