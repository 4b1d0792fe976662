"""Follows the data from box to box, through the nodes that are in none.

Rules:
    1. A tensor comes from the boxes and graph inputs that are reached backwards through nodes
       outside of all boxes; on the way it collects the states that are read there.
    2. A box is entered by an edge from every box that one of its tensors comes from.
    3. Within a box there are no edges.
    4. What is made of constants and sizes comes from nowhere.
    5. Plumbing is in no box, whichever module it was traced in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import onnx

from rnnedge.report.picture.operators import JOINS, PLUMBING, data_inputs, is_layer

INPUT, OUTPUT = "input:", "output:"
"""How the keys of the graph's own inputs and outputs begin."""


@dataclass(frozen=True)
class Origin:
    """Where a tensor comes from: a box, and the states read on the way; or only these states."""

    box: str | None
    states: frozenset[str] = frozenset()


@dataclass
class Trace:
    """The tensors seen so far. Nodes are given in the order of the graph, each once.

    Attributes:
        stored: names of the tensors in the file.
        edges: the states met on each way from box to box, by the two boxes' keys.
        readers: the boxes that read a state, by its name.
    """

    stored: frozenset[str] = frozenset()
    edges: dict[tuple[str, str], set[frozenset[str]]] = field(default_factory=dict)
    readers: dict[str, list[str]] = field(default_factory=dict)
    _origins: dict[str, frozenset[Origin]] = field(default_factory=dict)

    def start(self, inputs: Iterable[str], states: Mapping[str, str]) -> None:
        """Begins with the graph's inputs; `states` gives the names of those that are states."""
        for name in inputs:
            is_state = name in states
            origin = (
                Origin(None, frozenset({states[name]})) if is_state else Origin(input_key(name))
            )
            self._origins[name] = frozenset({origin})

    def origins(self, tensor: str) -> frozenset[Origin]:
        """Where a tensor comes from; nothing for a constant."""
        return self._origins.get(tensor, frozenset())

    def boxes(self, tensor: str) -> list[str]:
        """The boxes that a tensor comes from."""
        return sorted({o.box for o in self.origins(tensor) if o.box is not None})

    def visit(self, node: onnx.NodeProto, box: str | None) -> None:
        """The next node; it is in `box`, or in none."""
        inputs = data_inputs(node)
        is_constant = node.op_type in JOINS and not any(self.origins(name) for name in inputs)
        # A transposed copy may be shared by modules: that one of them made it is chance.
        is_plumbing = node.op_type in PLUMBING and not is_layer(node, self.stored)
        if box is None or is_plumbing or is_constant:
            self._pass_through(node, inputs)
        else:
            self._enter(node, inputs, box)

    def _enter(self, node: onnx.NodeProto, inputs: list[str], box: str) -> None:
        for name in inputs:
            self.arrive(name, box)
        for name in node.output:
            self._origins[name] = frozenset({Origin(box)})

    def arrive(self, tensor: str, box: str) -> None:
        """The box reads the tensor: edges and readers follow."""
        for origin in self.origins(tensor):
            if origin.box is not None and origin.box != box:
                self.edges.setdefault((origin.box, box), set()).add(origin.states)
            for state in sorted(origin.states):
                readers = self.readers.setdefault(state, [])
                if box not in readers:
                    readers.append(box)

    def _pass_through(self, node: onnx.NodeProto, inputs: list[str]) -> None:
        found = frozenset[Origin]().union(*(self.origins(name) for name in inputs))
        states = frozenset[str]().union(*(origin.states for origin in found))
        own = frozenset[str]().union(*(o.states for o in found if o.box is None))
        result = {Origin(o.box, o.states | own) for o in found if o.box is not None}
        if not result and states:
            result = {Origin(None, states)}
        for name in node.output:
            self._origins[name] = frozenset(result)


def input_key(name: str) -> str:
    """The key of a graph input's box."""
    return INPUT + name


def output_key(name: str) -> str:
    """The key of a graph output's box."""
    return OUTPUT + name
