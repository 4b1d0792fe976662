"""Brings an unrolled graph into a form in which the iterations of a loop look alike.

Rules:
    1. Slices of everything are what they slice. What is written into a part of a tensor is one
       ``select_scatter``.
    2. A frame is read by ``select``, or by ``slice`` where its axis stays, right before its first
       use, however the code gets it: by index, ``unbind``, ``split`` or iteration.
    3. What depends on parameters only, and new tensors of a size, come before all else, once each.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

from rnnedge_exporters.capture.arguments import (
    CREATION,
    arguments_of,
    axis_of,
    is_end,
    operator_name,
    source_of,
)

aten = torch.ops.aten


def normalise(graph: Graph) -> None:
    """Applies the rules in place."""
    for node in list(graph.nodes):
        _simplify(node)
    for node in list(graph.nodes):
        _read_by_index(node)
    _hoist(graph)
    order = {node: place for place, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if frame_of(node) is not None and node.users:
            min(node.users, key=order.__getitem__).prepend(node)
    graph.lint()


def frame_of(node: Node) -> tuple[Node, int, int] | None:
    """The tensor, the axis and the index of what reads one place of one axis."""
    name = operator_name(node)
    if name not in ("select", "slice"):
        return None
    source, given = source_of(node), arguments_of(node)
    value, index = source.meta.get("val"), given["index" if name == "select" else "start"]
    if not isinstance(value, Tensor) or not isinstance(index, int):
        return None
    dim = axis_of(node)
    index = index % int(value.shape[dim]) if isinstance(value.shape[dim], int) else index
    if name == "slice" and given["end"] != index + 1:
        return None
    return source, dim, index


def _simplify(node: Node) -> None:
    """Rule 1."""
    name = operator_name(node)
    if name == "slice" and _is_everything(node):
        _becomes(node, node.args[0])
    elif name == "slice_scatter" and _is_everything(node):
        _becomes(node, node.args[1])
    elif name == "copy" and _shape(node.args[0]) == _shape(node.args[1]):
        place = node.args[0]
        _becomes(node, node.args[1])
        if isinstance(place, Node) and not place.users:
            node.graph.erase_node(place)


def _is_everything(node: Node) -> bool:
    given = arguments_of(node)
    return given["start"] in (0, None) and given["step"] == 1 and is_end(given["end"])


def _shape(node: object) -> list[str]:
    return [str(size) for size in node.meta["val"].shape] if isinstance(node, Node) else []


def _becomes(node: Node, other: Any) -> None:
    node.replace_all_uses_with(other)
    node.graph.erase_node(node)


def _read_by_index(node: Node) -> None:
    """Rule 2."""
    made_by = node.args[0] if node.target is operator.getitem else None
    if not isinstance(made_by, Node):
        return
    name, index = operator_name(made_by), node.args[1]
    if name == "unbind":
        target: Any = aten.select.int
        args: tuple[Any, ...] = (made_by.args[0], axis_of(made_by), index)
    elif name == "split" and made_by.args[1] == 1:
        end = int(str(index)) + 1
        target, args = aten.slice.Tensor, (made_by.args[0], axis_of(made_by), index, end)
    else:
        return
    with node.graph.inserting_before(node):
        read = node.graph.call_function(target, args)
    read.meta = dict(node.meta)
    _becomes(node, read)


def _hoist(graph: Graph) -> None:
    """Rule 3."""
    fixed: set[Node] = set()  # by parameters
    known: set[Node] = set()  # by parameters and sizes
    first: dict[str, Node] = {}
    for node in list(graph.nodes):
        if node.op in ("get_attr", "placeholder"):
            known.add(node)
            fixed |= {node} if node.op == "get_attr" else set()
        elif node.op == "call_function" and known.issuperset(node.all_input_nodes):
            is_size = not isinstance(node.meta.get("val"), (Tensor, tuple, list))
            is_fixed = bool(node.all_input_nodes) and fixed.issuperset(node.all_input_nodes)
            if not (is_size or is_fixed or operator_name(node) in CREATION):
                continue
            twin = first.setdefault(str((node.target, node.args, node.kwargs)), node)
            if twin is not node:
                _becomes(node, twin)
                continue
            known.add(node)
            fixed |= {node} if is_fixed else set()
    others = (n for n in graph.nodes if n not in known)
    start = next(others)
    for node in list(graph.nodes):
        if node in known and node.op == "call_function":
            start.prepend(node)
