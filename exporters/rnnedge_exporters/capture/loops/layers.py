"""A step made of torch's cells, as layers over the whole sequence.

Rules:
    1. A cell that is given frames, and whose state nothing else reads, is a layer over time.
    2. What works on each element, or on features, of frames alone does so on all frames at once.
    3. It is done when that is all there is in the step; then no loop is left.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from rnnedge_exporters.capture.arguments import operator_name
from rnnedge_exporters.capture.operators import RECURRENT, read_layer

aten = torch.ops.aten
_ANY_SHAPE = frozenset(
    {"linear", "layer_norm", "dropout", "relu", "relu6", "tanh", "sigmoid", "silu", "gelu", "elu"}
    | {"leaky_relu", "softplus", "hardtanh", "hardsigmoid", "hardswish", "exp", "log", "neg", "abs"}
    | {"add", "sub", "mul", "div", "clamp", "sin", "cos", "sqrt", "square", "pow"}
)
"""Operators (of aten) that do the same with one axis more in front."""
_OF_AN_AXIS = frozenset(
    {"unsqueeze", "squeeze", "slice", "select", "softmax", "log_softmax", "cat", "narrow"}
)
"""Operators (of aten) whose second argument is an axis."""


def as_layers(step: GraphModule, carried: int, frames: int) -> GraphModule | None:
    """The step over all frames at once; None where it is not made of cells alone.

    Args:
        step: takes what is carried, one frame of each sequence, and others; gives what is carried
            on, and results of the frame.
        carried: how much is carried.
        frames: how many sequences there are.

    Returns:
        Takes what is carried, sequences [time, ...] and others; gives what is carried in the end,
        and sequences of results.
    """
    layers = _Layers(step, carried, frames)
    return layers.graph_module() if all(map(layers.take, step.graph.nodes)) else None


class _Layers:
    def __init__(self, step: GraphModule, carried: int, frames: int) -> None:
        self._step, self._graph = step, Graph()
        placeholders = step.graph.find_nodes(op="placeholder")
        new = {node: self._graph.placeholder(str(node.target)) for node in placeholders}
        self._initial = {node: new[node] for node in placeholders[:carried]}
        self._sequences = {node: new[node] for node in placeholders[carried : carried + frames]}
        self._others = {node: new[node] for node in placeholders[carried + frames :]}
        self._ends: dict[Node, Node] = {}
        self._results = list(step.graph.output_node().args[0])  # type: ignore[arg-type]

    def take(self, node: Node) -> bool:
        """Whether the node is one of those that the rules know, or a part of a cell."""
        if node.op in ("placeholder", "output") or not node.users or self._is_of_cell(node):
            return True
        if node.target in RECURRENT:
            return self._cell(node)
        known, name = self._sequences | self._others, operator_name(node)
        if not known.keys() >= set(node.all_input_nodes):
            return False
        mapped, kwargs = map_arg((node.args, node.kwargs), known.__getitem__)
        args = list(mapped)
        if name in _OF_AN_AXIS and len(args) > 1 and isinstance(args[1], int):
            args[1] += args[1] >= 0
        elif name not in _ANY_SHAPE:
            return False
        self._sequences[node] = self._call(node.target, *args, **kwargs)
        return True

    def graph_module(self) -> GraphModule | None:
        """All that was taken; None if something is carried on that no cell gives."""
        count, results = len(self._initial), self._results
        ends = [self._ends.get(result) for result in results[:count]]
        given = [self._sequences.get(result) for result in results[count:]]
        if None in ends or None in given:
            return None
        self._graph.output((*ends, *given))
        return GraphModule(nn.Module(), self._graph)

    def _call(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        return self._graph.call_function(target, args, kwargs)

    def _is_of_cell(self, node: Node) -> bool:
        """The axis of one frame that a cell is given and gives back."""
        if node.target is operator.getitem:
            return getattr(node.args[0], "target", None) in RECURRENT
        if operator_name(node) == "unsqueeze":
            return all(user.target in RECURRENT for user in node.users)
        return node in self._ends or node in self._sequences

    def _cell(self, node: Node) -> bool:
        """Rule 1."""
        layer = read_layer(node)
        x, places = _without_axis(layer.x), list(self._initial)
        given = [_without_axis(state) for state in layer.states]
        states = [state for state in given if state is not None and state in self._initial]
        after = [part for k in range(len(layer.states)) for part in _parts(node, k + 1)]
        is_known = x in self._sequences and self._others.keys() >= set(layer.weights)
        if not is_known or not len(states) == len(after) == len(layer.states):
            return False
        for state, end in zip(states, after, strict=True):
            if len(state.users) != 1 or self._results[places.index(state)] is not end:
                return False
        initial = [self._call(aten.unsqueeze.default, self._initial[s], 0) for s in states]
        known = dict(zip((layer.x, *layer.states), (self._sequences[x], *initial), strict=True))
        args, kwargs = map_arg((node.args, node.kwargs), lambda n: (known | self._others)[n])
        whole = self._call(node.target, *args, **kwargs)
        for index, end in enumerate(after):
            last = self._call(operator.getitem, whole, index + 1)
            self._ends[end] = self._call(aten.squeeze.dim, last, 0)
        self._sequences[after[0]] = self._call(operator.getitem, whole, 0)
        return True


def _without_axis(node: Node) -> Node | None:
    """What got an axis of one frame in front."""
    if operator_name(node) != "unsqueeze" or node.args[1] != 0:
        return None
    source = node.args[0]
    return source if isinstance(source, Node) else None


def _parts(node: Node, index: int) -> list[Node]:
    """The results of a cell with that index, without the axis of one frame."""
    results = [u for u in node.users if u.target is operator.getitem and u.args[1] == index]
    return [part for result in results for part in result.users if operator_name(part) == "squeeze"]
