"""Writes the streaming program: a graph of its own, node by node in the whole-sequence one's order.

What a run of the stream takes is a chunk of frames, a multiple of `multiple` of them; a tensor of
rate r has r frames there for each. Passes ask the writer for a tensor's past (`extended`), for it
later (`delayed`), or for it without what lies outside of the signal (`inside`), and the writer
keeps the states that this takes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy
import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from rnnedge_exporters.capture import Program
from rnnedge_exporters.streaming.axes import Place, operator_name, size
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.history import History
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.program import StreamState
from rnnedge_exporters.streaming.refusal import (
    SEQUENCE_MODE,
    is_layer_of_torch,
    module_path,
    refuse,
)
from rnnedge_runtime.contract import BATCH, TIME, StateKind

aten = torch.ops.aten
NEVER = 2.0**48
"""The length of a signal whose end is not known: more samples than a device ever hears."""
_END = 2**63 - 1


class Writer:
    """The streaming program while it is written.

    Attributes:
        program: the whole-sequence program; not changed.
        clocks: of its nodes.
        rows: where the batch lies in its nodes.
        spare: how many frames at the end of each node nobody reads; see `spare.py`.
        graph: the streaming program.
        states: of it, in the order in which they were asked for.
        history: what tensors hold before the start.
        multiple: how many input frames, or multiples of that, a run takes.
        layer_names: of recurrent layers, for their states.
        holds: tensors and graphs of the streaming program by name.
        finals: the final states of recurrent layers over time, by their place in the result.
    """

    def __init__(
        self,
        program: Program,
        clocks: Mapping[Node, Clock],
        rows: Mapping[Node, Place | None],
        spare: Mapping[Node, int],
    ) -> None:
        self.program = program
        self.clocks = clocks
        self.rows = rows
        self.spare = spare
        self.graph = Graph()
        self.states: list[StreamState] = []
        self.history = History(program, clocks)
        self.multiple = math.lcm(*(clock.rate.denominator for clock in clocks.values()))
        self.layer_names: dict[Node, str] = {}
        self.finals: dict[Node, dict[Any, Node]] = {}
        self.holds: dict[str, Tensor | GraphModule] = {}
        self._values: dict[Node, Node] = {}
        self._cache: dict[Any, Node] = {}
        self._names = {*program.inputs, *program.outputs, *(s.name for s in program.states)}
        self._last_argument: Node | None = None

    # -- nodes ------------------------------------------------------------------------------------

    def value(self, node: Node) -> Node:
        """What stands for a node of the whole-sequence program."""
        return self._values[node]

    def known(self, node: Node) -> Node | None:
        """As `value`; None where nothing stands for it."""
        return self._values.get(node)

    def set_value(self, node: Node, value: Node) -> None:
        """Says so."""
        self._values[node] = value

    def copy(self, node: Node, replaced: Mapping[Node, Node] | None = None) -> Node:
        """A node as it is, its arguments those of the stream.

        Args:
            node: of the whole-sequence program.
            replaced: arguments for which something else stands than `value` says.
        """
        known = replaced or {}
        copied = self.graph.node_copy(node, lambda n: known.get(n) or self._values[n])
        if copied.target in (aten.view.default, aten._unsafe_view.default):
            copied.target = aten.reshape.default  # the stream's tensors have strides of their own
        if node.op == "placeholder":
            self._last_argument = copied
        return copied

    def call(self, origin: Node, target: Any, *args: Any, **kwargs: Any) -> Node:
        """A new call; it counts as part of the module and line that `origin` is from."""
        node = self.graph.call_function(target, args, kwargs)
        kept = ("nn_module_stack", "stack_trace", "torch_fn", "source_fn_stack")
        node.meta = {key: origin.meta[key] for key in kept if key in origin.meta}
        return node

    def slice(self, origin: Node, x: Node, axis: int, start: Any, end: Any, step: int = 1) -> Node:
        """``x[..., start:end:step, ...]``; None for the end."""
        end = _END if end is None else end
        if start == 0 and end == _END and step == 1:
            return x
        return self.call(origin, aten.slice.Tensor, x, axis, start, end, step)

    def replace_args(self, node: Node, changed: Mapping[str, Any], target: Any = None) -> Node:
        """A call of the same operator, some arguments given anew, the others those of the stream.

        Args:
            node: of the whole-sequence program.
            changed: by the name that the operator's schema gives them; values of the stream.
            target: another overload of the operator, if that is needed.
        """
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        names = [argument.name for argument in schema]
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        given = {k: v for k, v in given.items() if k not in changed}
        mapped = map_arg(given, lambda n: self._values[n]) | dict(changed)
        positional, keywords, in_order = [], {}, True
        for argument in schema:
            in_order = in_order and argument.name in mapped and not argument.kwarg_only
            if in_order:
                positional.append(mapped[argument.name])
            elif argument.name in mapped:
                keywords[argument.name] = mapped[argument.name]
        return self.call(node, target or node.target, *positional, **keywords)

    def held(self, origin: Node, value: Tensor | GraphModule) -> Node:
        """A tensor, or the graph of an operator's body, that the program holds."""
        name = f"held_{len(self.holds)}"
        self.holds[name] = value
        node = self.graph.get_attr(name)
        node.meta = {k: v for k, v in origin.meta.items() if k != "val"}
        return node

    # -- sizes ------------------------------------------------------------------------------------

    def frames(self, rate: Fraction) -> Node:
        """How many frames a tensor of that rate has in this run."""
        if ("frames", rate) not in self._cache:
            if rate == 1:
                name, axis = next(
                    (name, axis)
                    for name, spec in self.program.call.inputs.items()
                    if (axis := spec.axis(TIME)) is not None
                )
                source = self.program.inputs[name]
                node = self.call(source, aten.sym_size.int, self.value(source), axis)
            else:
                node = self.frames(Fraction(1))
                origin = node
                if rate.numerator != 1:
                    node = self.call(origin, operator.mul, node, rate.numerator)
                if rate.denominator != 1:
                    node = self.call(origin, operator.floordiv, node, rate.denominator)
            self._cache["frames", rate] = node
        return self._cache["frames", rate]

    def size(self, node: Node, expression: sympy.Expr) -> Any:
        """A size that does not depend on time, as an argument: a number, or from the batch."""
        if expression.is_Integer:
            return int(expression)
        name, axis = next(
            (name, axis)
            for name, spec in self.program.call.inputs.items()
            if (axis := spec.axis(BATCH)) is not None
        )
        source = self.program.inputs[name]
        (symbol,) = expression.free_symbols
        if ("batch",) not in self._cache:
            rows = self.call(source, aten.sym_size.int, self.value(source), axis)
            self._cache["batch",] = rows
        factor = int(expression / symbol)
        rows = self._cache["batch",]
        return rows if factor == 1 else self.call(node, operator.mul, rows, factor)

    # -- states -----------------------------------------------------------------------------------

    def state(
        self,
        origin: Node,
        role: str,
        kind: StateKind,
        like: Tensor,
        initial: Tensor,
        batch: Place | None,
        delay: int = 0,
        is_full_name: bool = False,
    ) -> Node:
        """A new argument of the program; `end_state` says what follows it.

        Args:
            origin: the operator that the state belongs to.
            role: the last part of its name.
            kind: as in the contract.
            like: an example of the tracer's, with its symbols.
            initial: for a batch of one.
            batch: where the batch lies in it.
            delay: see `StreamState`.
            is_full_name: `role` is the whole name, and reserved.
        """
        name = role if is_full_name else self._free_name(origin, role)
        assert self._last_argument is not None  # noqa: S101 - inputs come first
        with self.graph.inserting_after(self._last_argument):
            start = self.graph.placeholder(name)
        start.target = start.name
        start.meta["val"] = like
        self._last_argument = start
        self.states.append(StreamState(name, kind, start, start, batch, initial, delay))
        return start

    def end_state(self, start: Node, end: Node) -> None:
        """What the state is after this run."""
        self.states = [s.ending(end) if s.start is start else s for s in self.states]

    def reserve(self, name: str) -> bool:
        """Takes a name for a state, if it is free."""
        if name in self._names:
            return False
        self._names.add(name)
        return True

    def _free_name(self, origin: Node, role: str) -> str:
        name = role
        if not is_layer_of_torch(origin) and role in ("context", "delay", "total"):
            # Written out in the user's own forward, perhaps beside others of its kind.
            name = f"{operator_name(origin)}.{role}"
        path = module_path(origin)
        name = f"{path}.{name}" if path else name
        count = 1
        while not self.reserve(name if count == 1 else f"{name}_{count}"):
            count += 1
        return name if count == 1 else f"{name}_{count}"

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
            initial = self.history.before_start(source, count, fill, delay)
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
