"""Which nodes belong together before any data is followed.

Rules:
    1. The nodes of a leaf module (no other module with nodes lies below it) are one unit. Those of
       a parent itself, the root too, are units of one node each.
    2. A leaf module without a layer in it that reads one tensor is an *activation*.
    3. ``x * sigmoid(x)`` in a parent is an activation, too: SiLU.
    4. A unit of nothing but plumbing is plumbing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import onnx

from rnnedge.report.picture.operators import (
    ACTIVATIONS,
    JOINS,
    PLUMBING,
    data_inputs,
    is_layer,
    module_path,
)

UnitKind: TypeAlias = Literal["module", "activation", "step", "join", "plumbing"]
Nodes: TypeAlias = Mapping[int, onnx.NodeProto]


@dataclass(frozen=True)
class Unit:
    """Nodes that are always in one box, or in none.

    Attributes:
        key: of the box it makes, if it makes one.
        path: the module; of a parent's node, the parent.
        nodes: their places in the graph.
        word: what an activation is called; empty for the others.
    """

    key: str
    path: str
    kind: UnitKind
    nodes: tuple[int, ...]
    word: str = ""


def find_units(graph: onnx.GraphProto, weights: Iterable[str]) -> list[Unit]:
    """The units, in the order of their first nodes.

    Args:
        graph: of a model whose functions are inlined.
        weights: names of the stored tensors.
    """
    stored = set(weights)
    paths = [module_path(node) for node in graph.node]
    leaves = _leaves(paths)
    by_module: dict[str, list[int]] = defaultdict(list)
    for place, path in enumerate(paths):
        if path in leaves:
            by_module[path].append(place)
    units = [_module(path, places, graph, stored) for path, places in by_module.items()]
    alone = [place for place, path in enumerate(paths) if path not in leaves]
    units += _of_parents(graph, alone, paths, stored)
    return sorted(units, key=lambda unit: unit.nodes[0])


def _leaves(paths: Iterable[str]) -> set[str]:
    parents = {""}
    found = set(paths)
    for path in found:
        parts = path.split(".")
        parents |= {".".join(parts[:depth]) for depth in range(1, len(parts))}
    return found - parents


def _module(path: str, places: list[int], graph: onnx.GraphProto, stored: set[str]) -> Unit:
    nodes = [graph.node[place] for place in places]
    if any(is_layer(node, stored) for node in nodes):
        return Unit(path, path, "module", tuple(places))
    if all(node.op_type in PLUMBING for node in nodes):
        return Unit(path, path, "plumbing", tuple(places))
    made = {name for node in nodes for name in node.output}
    read = {name for node in nodes for name in data_inputs(node)} - made - stored
    if len(read) <= 1:
        return Unit(path, path, "activation", tuple(places), _word(nodes))
    return Unit(path, path, "module", tuple(places))


def _of_parents(
    graph: onnx.GraphProto, places: list[int], paths: list[str], stored: set[str]
) -> list[Unit]:
    units, taken = [], set()
    for first, second in _self_gates(graph, places):
        taken |= {first, second}
        key = _key(graph.node[first])
        units.append(Unit(key, paths[first], "activation", (first, second), "SiLU"))
    for place in places:
        if place not in taken:
            node = graph.node[place]
            kind = _kind(node, stored)
            word = ACTIVATIONS.get(node.op_type, "") if kind == "activation" else ""
            units.append(Unit(_key(node), paths[place], kind, (place,), word))
    return units


def _kind(node: onnx.NodeProto, stored: set[str]) -> UnitKind:
    if is_layer(node, stored):
        return "step"
    if node.op_type in ACTIVATIONS:
        return "activation"
    return "join" if node.op_type in JOINS else "plumbing"


def _self_gates(graph: onnx.GraphProto, places: list[int]) -> list[tuple[int, int]]:
    """Pairs of a sigmoid and the product of it with what it was made of."""
    sigmoids = {
        graph.node[place].output[0]: place
        for place in places
        if graph.node[place].op_type == "Sigmoid"
    }
    pairs = []
    for place in places:
        node = graph.node[place]
        gates = [name for name in node.input if name in sigmoids]
        if node.op_type == "Mul" and len(gates) == 1:
            sigmoid = sigmoids[gates[0]]
            if graph.node[sigmoid].input[0] in node.input:
                pairs.append((sigmoid, place))
    return pairs


def _word(nodes: list[onnx.NodeProto]) -> str:
    operators = [node.op_type for node in nodes]
    if sorted(operators) == ["Mul", "Sigmoid"]:
        return "SiLU"
    if "Erf" in operators:
        return "GELU"
    return next((ACTIVATIONS[name] for name in operators if name in ACTIVATIONS), "")


def _key(node: onnx.NodeProto) -> str:
    # Results are unique in a graph; names of nodes need not be.
    return f"node:{node.output[0]}"
