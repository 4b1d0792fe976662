"""Where a symbol (time, batch) lies in the shape of each tensor of a graph.

While a program is captured, time and batch are symbols, so that each tensor's shape tells which of
its axes is time. A folded axis is a product, such as ``33*batch``: rows in the order
[outer, symbol, inner], flattened.

Rules:
    1. An axis whose size is the symbol itself is that axis, unfolded.
    2. A view keeps the order of elements: what precedes the symbol in row-major order before the
       view precedes it after.
    3. Any other operator leaves the axis as it found it, folded or not; one that makes it longer or
       shorter is refused.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import cast

import sympy
from torch import SymInt, Tensor
from torch.fx import Node

VIEWS = frozenset({"view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze"})
"""Operators (of aten) that keep the row-major order and change how axes divide it."""
CREATION = frozenset(
    {"zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "new_zeros"}
    | {"new_ones", "new_full"}
)
"""Operators (of aten) that take sizes, and no values of other tensors."""


@dataclass(frozen=True)
class Place:
    """An axis of a tensor, and how the symbol is folded into it.

    Attributes:
        axis: counted from the left.
        outer: how many blocks along the axis hold the whole symbol each.
        inner: how many elements along the axis belong to one step of the symbol.
    """

    axis: int
    outer: sympy.Expr = sympy.S.One
    inner: sympy.Expr = sympy.S.One

    @property
    def is_folded(self) -> bool:
        """Whether the axis holds anything beside the symbol."""
        return bool(self.outer != 1 or self.inner != 1)


class OddAxisError(Exception):
    """The symbol lies in a tensor in a way that no single axis describes."""


def size(dim: int | SymInt) -> sympy.Expr:
    """A dimension as an expression."""
    return cast("sympy.Expr", dim.node.expr if isinstance(dim, SymInt) else sympy.Integer(dim))


def shape_of(node: Node) -> list[sympy.Expr]:
    """The sizes of the tensor that `node` gives."""
    return [size(dim) for dim in node.meta["val"].shape]


def find_place(node: Node, symbol: sympy.Symbol, known: dict[Node, Place | None]) -> Place | None:
    """Where `symbol` lies in the tensor that `node` gives; None where it does not.

    Args:
        node: gives one tensor.
        symbol: the size of time, or of the batch.
        known: the places of all earlier nodes.

    Raises:
        OddAxisError: it lies on two axes, or a size is not a whole multiple of it.
    """
    if not isinstance(node.meta.get("val"), Tensor):
        return None
    shape = shape_of(node)
    axes = [axis for axis, dim in enumerate(shape) if symbol in dim.free_symbols]
    if not axes:
        return None
    if len(axes) > 1:
        raise OddAxisError(f"its shape {shape} has {symbol} on axes {axes}")
    axis = axes[0]
    factor = sympy.simplify(shape[axis] / symbol)
    if symbol in factor.free_symbols:
        raise OddAxisError(f"its axis {axis} is {shape[axis]}, not a multiple of {symbol}")
    outer = _outer(node, axis, factor, known)
    inner = sympy.simplify(factor / outer)
    if sympy.denom(inner) != 1 or sympy.denom(outer) != 1:
        raise OddAxisError(f"its axis {axis} has the elements of {symbol} in another order")
    return Place(axis, outer, inner)


def _outer(
    node: Node, axis: int, factor: sympy.Expr, known: dict[Node, Place | None]
) -> sympy.Expr:
    # A part of a tuple has the places of what the tuple was made from.
    made_by = node.args[0] if node.target is operator.getitem else node
    assert isinstance(made_by, Node)  # noqa: S101 - as fx builds it
    found = ((source, known.get(source)) for source in made_by.all_input_nodes)
    source, place = next(((s, p) for s, p in found if p is not None), (None, None))
    if source is None or place is None:
        # A constant of that size: every order is the same to it.
        return sympy.S.One
    if operator_name(node) not in VIEWS:
        if sympy.simplify(place.outer * place.inner - factor) != 0:
            raise OddAxisError(f"its axis {axis} holds more, or less, than that of its argument")
        return place.outer
    before = sympy.prod(shape_of(source)[: place.axis]) * place.outer
    return sympy.simplify(before / sympy.prod(shape_of(node)[:axis]))


def operator_name(node: Node) -> str:
    """``softmax`` for ``aten.softmax.int``; empty for what is no operator."""
    packet = getattr(node.target, "overloadpacket", None)
    return str(packet).rpartition(".")[2] if packet is not None else ""
