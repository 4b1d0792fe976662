"""Which recurrent layers become one: rules 1 and 3 of `group_recurrent.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rnnedge_exporters.nodes import GATES, input_at
from rnnedge_exporters.optimize.forms import Sizes, known_shape

WEIGHTS, RECURRENCE, BIAS, _LENGTHS, _FIRST_STATE = range(1, 6)
_MOST_INPUTS = {"RNN": 6, "GRU": 6, "LSTM": 7}
"""Peepholes come after these."""
_MOST_UNITS = 32


@dataclass(frozen=True)
class Group:
    """What becomes one.

    Attributes:
        split: what makes the parts.
        shape: of what is split.
        perm: of the transpositions between; None if there are none.
        layers: one per part, in their order.
        first: the one of them that is first in the graph.
    """

    split: ir.Node
    shape: Sizes
    perm: Sequence[int] | None
    layers: Sequence[ir.Node]
    first: ir.Node

    @property
    def count(self) -> int:
        """How many layers."""
        return len(self.layers)

    @property
    def directions(self) -> int:
        """1, or 2."""
        return 2 if self.first.attributes.get_string("direction") == "bidirectional" else 1

    @property
    def units(self) -> int:
        """Of one layer."""
        return self.first.attributes.get_int("hidden_size", 0)


def group_of(split: ir.Node) -> Group | None:
    """The layers behind a node; None if it splits nothing among layers that can become one."""
    value = split.inputs[0] if split.op_type == "Split" else None
    shape = None if value is None else known_shape(value)
    if shape is None or split.attributes.get_int("axis", 0) not in (-1, len(shape) - 1):
        return None
    readers = [_only_reader(part) for part in split.outputs]
    perms = {perm_of(node) for node in readers}
    perm = perms.pop()
    if perms:
        return None
    if perm is not None:
        if perm[-1] != len(shape) - 1:
            return None
        readers = [_only_reader(node.outputs[0]) for node in readers if node is not None]
    layers = [node for node in readers if node is not None and node.op_type in GATES]
    if len(layers) < max(2, len(split.outputs)) or not _are_alike(layers):
        return None
    first = next(node for node in split.graph or () if node in layers)
    group = Group(split, shape, perm, layers, first)
    return group if group.count * group.units <= _MOST_UNITS else None


def _only_reader(value: ir.Value) -> ir.Node | None:
    """The one node that takes it, as its first input, in the same graph."""
    node, place = only_use(value)
    return node if place == 0 else None


def only_use(value: ir.Value) -> tuple[ir.Node | None, int]:
    """The one node of the same graph that reads it, and at which input; None if others do."""
    uses, producer = list(value.uses()), value.producer()
    if len(uses) != 1 or value.is_graph_output() or producer is None:
        return None, 0
    node, place = uses[0]
    return (node, place) if node.graph is producer.graph else (None, 0)


def perm_of(node: ir.Node | None) -> tuple[int, ...] | None:
    """The order that a transposition puts axes in; None if the node is none."""
    if node is None or node.op_type != "Transpose" or "perm" not in node.attributes:
        return None
    return tuple(node.attributes["perm"].as_ints())


def _are_alike(layers: Sequence[ir.Node]) -> bool:
    """Rule 1, of the layers themselves."""
    kinds = {(node.op_type, node.domain, attributes_of(node)) for node in layers}
    states = {tuple(state is None for state in states_of(node)) for node in layers}
    return len(kinds) == len(states) == 1 and all(map(_is_plain, layers))


def attributes_of(node: ir.Node) -> str:
    """The same for nodes whose attributes are the same."""
    return repr(sorted((name, attr.value) for name, attr in node.attributes.items()))


def states_of(node: ir.Node) -> list[ir.Value | None]:
    """A layer's initial states."""
    return [input_at(node, place) for place in range(_FIRST_STATE, _MOST_INPUTS[node.op_type])]


def _is_plain(node: ir.Node) -> bool:
    stored = (input_at(node, place) for place in (WEIGHTS, RECURRENCE, BIAS))
    return (
        input_at(node, _LENGTHS) is None
        and len(node.inputs) <= _MOST_INPUTS[node.op_type]
        and node.attributes.get_int("layout", 0) == 0
        and all(value is None or ir.convenience.get_const_tensor(value) for value in stored)
        and all(state is None or state.producer() is None for state in states_of(node))
    )
