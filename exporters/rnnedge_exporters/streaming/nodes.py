"""Writes the streaming program's nodes, sizes and states; `writer.py` adds what concerns time."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sympy
import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from rnnedge_exporters.capture import Program
from rnnedge_exporters.capture.arguments import operator_name
from rnnedge_exporters.streaming.axes import Place
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.history import History
from rnnedge_exporters.streaming.program import StreamState
from rnnedge_exporters.streaming.refusal import (
    is_layer_of_torch,
    module_path,
)
from rnnedge_runtime.contract import BATCH, TIME, StateKind

aten = torch.ops.aten
_END = 2**63 - 1


class NodeWriter:
    """The streaming program while it is written: nodes, sizes, states.

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
