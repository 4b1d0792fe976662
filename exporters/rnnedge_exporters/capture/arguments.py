"""Operators of aten in a graph: their names, their arguments, and what can be read off these."""

from __future__ import annotations

from typing import Any

from torch._ops import OpOverload
from torch.fx import Node

CREATION = frozenset(
    {"zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "new_zeros"}
    | {"new_ones", "new_full", "empty_like", "new_empty"}
)
"""Operators (of aten) that take sizes, and no values of other tensors."""


def operator_name(node: Node) -> str:
    """``softmax`` for ``aten.softmax.int``; empty for what is no operator."""
    packet = getattr(node.target, "overloadpacket", None)
    return str(packet).rpartition(".")[2] if packet is not None else ""


def arguments_of(node: Node) -> dict[str, Any]:
    """The operator's arguments by name, defaults included."""
    assert isinstance(node.target, OpOverload)  # noqa: S101 - the caller looked
    schema = node.target._schema.arguments
    named = {argument.name: argument.default_value for argument in schema}
    named |= dict(zip([argument.name for argument in schema], node.args, strict=False))
    return named | node.kwargs


def source_of(node: Node) -> Node:
    """The first argument, which is a tensor."""
    source = node.args[0]
    assert isinstance(source, Node)  # noqa: S101 - as the operator's schema says
    return source


def axis_of(node: Node) -> int:
    """The axis that an operator along one axis names, counted from the left."""
    given = arguments_of(node)
    dim = given.get("dim", given.get("dimension", 0))
    return int(dim) % int(source_of(node).meta["val"].ndim)


def spatial_rank(node: Node) -> int:
    """1 for ``conv1d``, 2 for ``max_pool2d``."""
    digits = [char for char in operator_name(node) if char.isdigit()]
    return int(digits[0]) if digits else node.meta["val"].ndim - 2


def spread(value: Any, rank: int) -> list[Any]:
    """One value per spatial axis, as ``stride=2`` and ``stride=[2]`` both mean."""
    if not isinstance(value, (list, tuple)):
        return [value] * rank
    return list(value) * rank if len(value) == 1 else list(value)


def is_end(end: object) -> bool:
    """Whether a slice goes to the end, which is written as the largest 64-bit integer."""
    return end is None or (isinstance(end, int) and end >= 2**62)
