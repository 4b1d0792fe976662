"""Decides which nodes make one box.

Rules:
    1. A leaf module is a box; so is a layer that a parent applies by itself.
    2. A join is a box where different branches meet in it: other boxes, recurrent states, or the
       same box with and without a delay.
    3. An activation is a word on the box before it, if nothing else reads that box's result. It is
       a box of its own otherwise.
    4. All else is in no box.
    5. Boxes deeper than the depth asked for are one box with all of the module at that depth.
    6. A box that the data leaves and comes back to, such as a module called twice, is taken apart.
       A loop is always a state.
"""

from __future__ import annotations

import graphlib
from collections import Counter, defaultdict
from collections.abc import Iterable

import onnx

from rnnedge.report.picture.operators import data_inputs
from rnnedge.report.picture.parts import take_apart
from rnnedge.report.picture.trace import Trace
from rnnedge.report.picture.units import Unit
from rnnedge_runtime.contract import State

Boxes = dict[str, list[Unit]]
"""The units of each box by its key, in the order of the graph."""
MEMORY = ("hidden", "cell", "user", "buffer")
"""Kinds of state that take part in the arithmetic, as a branch does; others extend a signal."""


class Grouping:
    """The boxes of one graph: as fine as they get, or coarser.

    Args:
        graph: of a model whose functions are inlined.
        units: its nodes, each in one unit.
        states: what the contract says is carried from run to run.
    """

    def __init__(
        self, graph: onnx.GraphProto, units: Iterable[Unit], states: Iterable[State]
    ) -> None:
        self.graph = graph
        states = list(states)
        self._stored = frozenset(tensor.name for tensor in graph.initializer)
        self._state_names = {state.input: state.name for state in states}
        self._memory = {state.name for state in states if state.kind in MEMORY}
        self._uses = Counter(name for node in graph.node for name in data_inputs(node))
        self._uses.update(value.name for value in graph.output)
        self._exclusive: dict[str, bool] = {}
        self._unit_of = {place: unit for unit in units for place in unit.nodes}
        self.fine = self._fine()

    def trace(self, boxes: Boxes) -> Trace:
        """Follows the data between the boxes."""
        box_of = {place: key for key, units in boxes.items() for u in units for place in u.nodes}
        trace = self._new_trace()
        for place, node in enumerate(self.graph.node):
            trace.visit(node, box_of.get(place))
        return trace

    def at_depth(self, depth: int) -> Boxes:
        """The boxes when modules of more than `depth` path parts are not told apart."""
        merged: Boxes = defaultdict(list)
        for key, units in self.fine.items():
            merged[_key_at(units[0], key, depth)] += units
        boxes = dict(merged)
        while cycle := _cycle(self.trace(boxes)):
            boxes = take_apart(boxes, cycle, self.graph)
        return boxes

    def deepest(self) -> int:
        """The depth from which on nothing more is told apart."""
        return max((depth_of(units[0]) for units in self.fine.values()), default=1)

    def _new_trace(self) -> Trace:
        trace = Trace(self._stored)
        inputs = (value.name for value in self.graph.input if value.name not in self._stored)
        trace.start(inputs, self._state_names)
        return trace

    def _fine(self) -> Boxes:
        trace, boxes, decided = self._new_trace(), dict[str, list[Unit]](), dict[str, str | None]()
        for place, node in enumerate(self.graph.node):
            unit = self._unit_of[place]
            if unit.key not in decided:
                key = decided[unit.key] = self._box_for(unit, node, trace)
                if key is not None:
                    boxes.setdefault(key, []).append(unit)
            box = decided[unit.key]
            trace.visit(node, box)
            exclusive = box is not None or all(
                self._exclusive.get(name, False) and self._uses[name] == 1
                for name in data_inputs(node)
                if trace.origins(name)
            )
            self._exclusive |= dict.fromkeys(node.output, exclusive)
        return boxes

    def _box_for(self, unit: Unit, node: onnx.NodeProto, trace: Trace) -> str | None:
        """The box of a unit, decided when its first node is reached; None for none."""
        if unit.kind == "module":
            return unit.key
        inputs = [name for name in data_inputs(node) if trace.origins(name)]
        if unit.kind == "plumbing" or not inputs:
            return None  # or made of constants
        if unit.kind == "activation":
            return self._host(unit, inputs[0], trace) or unit.key
        if unit.kind == "join":
            branches = {self._branch(name, trace) for name in inputs} - {frozenset()}
            return unit.key if len(branches) > 1 else None
        return unit.key

    def _branch(self, tensor: str, trace: Trace) -> frozenset[str]:
        """What tells a branch that meets others from them; nothing for one that is no branch."""
        origins = trace.origins(tensor)
        boxes = frozenset(origin.box for origin in origins if origin.box is not None)
        states = frozenset(name for origin in origins for name in origin.states)
        return boxes | states if boxes else states & self._memory

    def _host(self, unit: Unit, tensor: str, trace: Trace) -> str | None:
        """The box on which an activation is a word, if there is one."""
        boxes = trace.boxes(tensor)
        if len(boxes) != 1:
            return None
        uses = sum(data_inputs(self.graph.node[place]).count(tensor) for place in unit.nodes)
        alone = self._exclusive.get(tensor, False) and self._uses[tensor] == uses
        return boxes[0] if alone else None


def depth_of(unit: Unit) -> int:
    """How deep one must look to see the unit by itself: a parent's own node is in the parent."""
    parts = unit.path.count(".") + 1 if unit.path else 0
    return parts if unit.kind == "module" or unit.key == unit.path else parts + 1


def _key_at(unit: Unit, key: str, depth: int) -> str:
    if depth_of(unit) <= depth:
        return key
    return ".".join(unit.path.split(".")[:depth])


def _cycle(trace: Trace) -> list[str]:
    """The boxes of one cycle, if there are any."""
    needs: dict[str, list[str]] = defaultdict(list)  # in order: which cycle is found must not vary
    for source, target in trace.edges:
        needs[target].append(source)
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        return list(dict.fromkeys(error.args[1]))
    return []
