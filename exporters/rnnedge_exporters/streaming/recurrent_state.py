"""Pass: the state of recurrent layers over time becomes an argument and a result.

Rules:
    1. A recurrent layer over time takes each initial state from a new argument, and its final state
       becomes a new result, named after the module: ``encoder.gru.h``; with several layers
       ``encoder.gru.h_l0`` and so on, as PyTorch names their weights.
    2. The state's initial value is what the program computed in its place, evaluated now: zeros,
       or a learned start. It may not depend on an input. That it is the same for all rows of the
       batch, `rows.py` has seen to. Where padding comes before the signal, the layer has run over
       it.
    3. An initial state that is an argument of forward is left to `forward_state.py`.
    4. A recurrent layer over another axis is left alone.
    5. Where frames that precede the signal reach the layer (behind a layer that looks ahead), it
       starts with the signal's first frame: those before it leave the state as it is.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from rnnedge_exporters.streaming.clock import Clock, Flow
from rnnedge_exporters.streaming.constants import blank_inputs, depends_on_values, evaluate
from rnnedge_exporters.streaming.recurrences import (
    SCAN,
    initial_states,
    is_over_time,
    sequence_of,
)
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, module_class, module_path, refuse
from rnnedge_exporters.streaming.writer import Writer, aten


@dataclass(frozen=True)
class Recurrence:
    """A recurrent layer over time; a `Plan`.

    Attributes:
        inputs: the clock of its sequence.
    """

    inputs: Clock

    def __str__(self) -> str:
        held = self.inputs.delay > 0
        return "state, begins with the signal's first frame" if held else "state"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        starts: dict[int, Node] = {}
        args: list[Any] = list(node.args)
        for index, initial in enumerate(initial_states(node), start=1):
            if writer.clocks[initial].flow is Flow.FIXED:
                starts[index] = args[index] = self._new_state(node, index, initial, writer)
            else:
                args[index] = given_start(node, initial, self.inputs, writer)
        if self.inputs.delay > 0:
            made, finals = _held_back(node, args, writer)
        else:
            made, finals = _plain(node, args, writer)
        for index, start in starts.items():
            writer.end_state(start, finals[index])
        writer.finals[node] = finals
        return made

    def _new_state(self, node: Node, index: int, initial: Node, writer: Writer) -> Node:
        role = "hc"[index - 1]
        # A constant start has no order of rows; the sequence, [time, batch, input], has, and the
        # state, [directions, batch, hidden], shares its batch axis.
        return writer.state(
            node,
            writer.layer_names[node].format(role=role),
            "hidden" if role == "h" else "cell",
            initial.meta["val"],
            initial_value(
                node,
                initial,
                self.inputs,
                writer,
                lambda blank: self._after(node, index, writer, blank),
            ),
            writer.rows[sequence_of(node)],
            delay=lag(self.inputs, writer.multiple),
            is_full_name=True,
        )

    def _after(
        self, node: Node, index: int, writer: Writer, blank: Mapping[Node, Tensor]
    ) -> Tensor:
        """The state after the padding before the signal."""
        padding = writer.history.before_start(node, sequence_of(node), -self.inputs.delay, 0.0)
        graph_module, final = writer.program.graph_module, _getitem(node, index)
        if final is None:
            return _run_over(node, index, padding, graph_module, blank)
        return evaluate(graph_module, final, {**blank, sequence_of(node): padding})


def given_start(node: Node, initial: Node, inputs: Clock, writer: Writer) -> Node:
    """What a recurrence starts from when forward takes it.

    Raises:
        StreamingError: before that it would have run over padding.
    """
    if inputs.delay < 0:
        raise refuse(
            node,
            "it runs over padding before it runs over the signal, and starts from a state that "
            "forward takes",
            SEQUENCE_MODE,
        )
    return writer.value(initial)


def initial_value(
    node: Node,
    initial: Node,
    inputs: Clock,
    writer: Writer,
    after_padding: Callable[[Mapping[Node, Tensor]], Tensor],
) -> Tensor:
    """Rule 2.

    Args:
        node: a recurrence.
        initial: what it starts from.
        inputs: the clock of its sequence.
        writer: of the stream.
        after_padding: its state after the padding before the signal, given blank inputs.

    Raises:
        StreamingError: the start depends on an input.
    """
    if depends_on_values(initial):
        raise refuse(
            node,
            "its initial state is computed from an input",
            "take the initial state itself as an argument of forward and return the final one; "
            f"or {SEQUENCE_MODE}",
        )
    blank = blank_inputs(writer.program)
    with torch.no_grad():
        if inputs.delay >= 0:
            return evaluate(writer.program.graph_module, initial, blank)
        return after_padding(blank)


def _run_over(
    node: Node, index: int, padding: Tensor, graph_module: Any, blank: Mapping[Node, Tensor]
) -> Tensor:
    """The final state after `padding`, where the program does not take it."""
    args = [
        padding
        if place == 0
        else torch.utils._pytree.tree_map_only(
            Node,
            lambda n: evaluate(graph_module, n, blank),
            arg,
            is_leaf=lambda a: isinstance(a, Node),
        )
        for place, arg in enumerate(node.args)
    ]
    assert callable(node.target)  # noqa: S101 - an operator
    final: Tensor = node.target(*args)[index]
    return final


def lag(inputs: Clock, multiple: int) -> int:
    """By how many input frames the state of a layer lags behind the module's own."""
    if inputs.beyond(1000 * multiple) == 0:
        return 0
    return max(1, -int(-inputs.delay // inputs.rate))


def name_layers(nodes: Iterable[Node], clocks: Mapping[Node, Clock], writer: Writer) -> None:
    """Gives layers whose states are lifted a pattern such as ``encoder.gru.{role}_l0``.

    A module that is called twice gives layers of its own to each call: ``gru.h_l0``, ``gru.h_l1``.
    """
    layers = [node for node in nodes if is_over_time(node, clocks) and node.target is not SCAN]
    lifted = [n for n in layers if any(clocks[s].flow is Flow.FIXED for s in initial_states(n))]
    owners = [module_path(node) or module_class(node).lower() for node in lifted]
    depth = Counter(owners)
    seen: Counter[str] = Counter()
    for node, owner in zip(lifted, owners, strict=True):
        layer = f"_l{seen[owner]}" if depth[owner] > 1 else ""
        seen[owner] += 1
        pattern = f"{owner}.{{role}}{layer}"
        while not writer.reserve(pattern.format(role="h")):
            pattern += "_"
        writer.reserve(pattern.format(role="c"))
        writer.layer_names[node] = pattern


def _getitem(node: Node, index: int) -> Node | None:
    return next((user for user in node.users if user.args[1] == index), None)


def _plain(node: Node, args: list[Any], writer: Writer) -> tuple[Node, dict[int, Node]]:
    x = writer.value(sequence_of(node))
    made = writer.call(node, node.target, x, *_mapped(args[1:], writer))
    finals = {}
    for index in range(1, 1 + len(initial_states(node))):
        finals[index] = writer.call(node, operator.getitem, made, index)
        finals[index].meta["val"] = node.meta["val"][index]
    return writer.call(node, operator.getitem, made, 0), finals


def _held_back(node: Node, args: list[Any], writer: Writer) -> tuple[Node, dict[int, Node]]:
    """Rule 5: the frames of the signal are moved to the front of the chunk, and back after.

    The layer gets the number of frames that count, for each row, so that its final state is that
    after the last of them. A chunk of which no frame counts leaves the state as it was.
    """
    source = sequence_of(node)
    call = writer.call
    x = writer.value(source)
    index = writer.index(node, source)  # [rows, frames]
    count = writer.frames(writer.clocks[source].rate)
    first = writer.slice(node, index, 1, 0, 1)
    early = call(node, aten.clamp.default, call(node, aten.neg.default, first), 0)
    early = call(node, aten.clamp.default, early, None, count)
    steps = call(node, aten.arange.default, count)
    last = call(node, operator.sub, count, 1)
    forward = call(node, aten.add.Tensor, early, steps)
    forward = call(node, aten.clamp.default, forward, None, last)
    moved = _fetch(node, source, x, forward, writer)
    lengths = call(node, aten.rsub.Scalar, early, count)
    some = call(node, aten.clamp.default, lengths, 1)
    some = writer.spread(node, some, source, 0)
    some = call(node, aten.flatten.using_ints, some, 0, -1)
    some = call(node, aten._to_copy.default, some, dtype=torch.int32)
    layer = call(node, node.target, moved, *_mapped(args[1:], writer), lengths=some)
    y = call(node, operator.getitem, layer, 0)
    back = call(node, aten.sub.Tensor, steps, early)
    back = call(node, aten.clamp.default, back, 0)
    y = _fetch(node, source, y, back, writer)
    none = writer.spread(node, call(node, aten.le.Scalar, lengths, 0), source, 0)
    finals = {}
    for place in range(1, 1 + len(initial_states(node))):
        final = call(node, operator.getitem, layer, place)
        finals[place] = call(node, aten.where.self, none, args[place], final)
        finals[place].meta["val"] = node.meta["val"][place]
    return y, finals


def _mapped(args: list[Any], writer: Writer) -> list[Any]:
    """Weights are a list of nodes of the whole-sequence program."""
    return [
        [writer.value(item) if isinstance(item, Node) else item for item in arg]
        if isinstance(arg, (list, tuple))
        else arg
        for arg in args
    ]


def _fetch(node: Node, source: Node, x: Node, table: Node, writer: Writer) -> Node:
    """Frame ``table[row, t]`` of each row in place of frame t; x is [time, rows, features]."""
    spread = writer.spread(node, table, source, 0)
    full = writer.call(node, aten.expand_as.default, spread, x)
    return writer.call(node, aten.gather.default, x, 0, full)
