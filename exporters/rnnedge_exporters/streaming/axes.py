"""Where a symbol (time, batch) lies in the shape of each tensor of a graph.

While a program is captured, time and batch are symbols, so that each tensor's shape tells which of
its axes is time. A folded axis is a product, such as ``33*batch``: rows in the order
[outer, symbol, inner], flattened.

Rules:
    1. An axis whose size is the symbol itself, or the number of frames at that point of the
       program, is that axis, unfolded.
    2. A view keeps the order of elements: what precedes the symbol in row-major order before the
       view precedes it after.
    3. Any other operator leaves the axis as it found it, folded or not; one that makes it longer or
       shorter is refused, unless a pass of its own knows it.
    4. The lesser of sizes that differ by a number is that one of them, and so is the greater: the
       tracer leaves open which it is (``x[..., -n:]``, n as long as another tensor).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import cast

import sympy
from torch import SymInt, Tensor
from torch.fx import Node

from rnnedge_exporters.capture.arguments import operator_name
from rnnedge_exporters.streaming.length import Length

VIEWS = frozenset({"view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze"})
"""Operators (of aten) that keep the row-major order and change how axes divide it."""


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
    """A dimension as an expression; rule 4."""
    expression = dim.node.expr if isinstance(dim, SymInt) else sympy.Integer(dim)
    return cast("sympy.Expr", expression.replace(_is_extreme, _settled))


def _is_extreme(part: sympy.Basic) -> bool:
    return type(part).__name__ in ("Min", "Max")  # torch's own classes, or sympy's


def _settled(extreme: sympy.Expr) -> sympy.Expr:
    offsets = [sympy.expand(part - extreme.args[0]) for part in extreme.args]
    if not all(offset.is_number for offset in offsets):
        return extreme
    chosen = (min if type(extreme).__name__ == "Min" else max)(offsets)
    return cast("sympy.Expr", extreme.args[offsets.index(chosen)])


def shape_of(node: Node) -> list[sympy.Expr]:
    """The sizes of the tensor that `node` gives."""
    return [size(dim) for dim in node.meta["val"].shape]


def find_place(node: Node, symbol: sympy.Symbol, known: dict[Node, Place | None]) -> Place | None:
    """Where `symbol` lies in the tensor that `node` gives; None where it does not.

    Args:
        node: gives one tensor.
        symbol: the size of the batch.
        known: the places of all earlier nodes.

    Raises:
        OddAxisError: it lies on two axes, or a size is not a whole multiple of it.
    """
    axis = find_axis(node, symbol)
    if axis is None:
        return None
    sources = ((source, known.get(source)) for source in made_from(node))
    source, place = next(((s, p) for s, p in sources if p is not None), (None, None))
    return locate(node, axis, symbol, symbol, source, place)


def find_axis(node: Node, symbol: sympy.Symbol) -> int | None:
    """The one axis whose size depends on `symbol`.

    Raises:
        OddAxisError: several do.
    """
    if not isinstance(node.meta.get("val"), Tensor):
        return None
    shape = shape_of(node)
    axes = [axis for axis, dim in enumerate(shape) if symbol in dim.free_symbols]
    if len(axes) > 1:
        raise OddAxisError(f"its shape {shape} has {symbol} on axes {axes}")
    return axes[0] if axes else None


def made_from(node: Node) -> list[Node]:
    """The nodes whose axes `node` has; a part of a tuple has those of what made the tuple."""
    made_by = node.args[0] if node.target is operator.getitem else node
    assert isinstance(made_by, Node)  # noqa: S101 - as fx builds it
    return made_by.all_input_nodes


def locate(
    node: Node,
    axis: int,
    frames: sympy.Expr,
    symbol: sympy.Symbol,
    source: Node | None,
    place: Place | None,
) -> Place:
    """How `frames` of them are folded into an axis of `node`.

    Args:
        node: gives one tensor.
        axis: of it, the one that depends on `symbol`.
        frames: how many steps of the symbol there are: the symbol itself, for the batch.
        symbol: the size of time, or of the batch.
        source: the argument that the axis comes from; None for a constant of that size.
        place: where they lie in `source`.

    Raises:
        OddAxisError: the size is not a whole multiple of `frames`.
    """
    total = shape_of(node)[axis]
    factor = quotient(total, frames)
    if symbol in factor.free_symbols:
        raise OddAxisError(f"its axis {axis} is {total}, not a multiple of {frames}")
    if source is None or place is None:
        # A constant of that size: every order is the same to it.
        outer = sympy.S.One
    elif operator_name(node) in VIEWS:
        before = sympy.prod(shape_of(source)[: place.axis]) * place.outer
        outer = quotient(before, sympy.prod(shape_of(node)[:axis]))
    elif sympy.simplify(place.outer * place.inner - factor) != 0:
        raise OddAxisError(f"its axis {axis} holds more, or less, than that of its argument")
    else:
        outer = place.outer
    inner = quotient(factor, outer)
    if sympy.denom(outer) != 1 or (sympy.denom(inner) != 1 and inner.free_symbols):
        raise OddAxisError(f"its axis {axis} has the elements of {symbol} in another order")
    return Place(axis, outer, inner)


def quotient(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    """``a / b`` in lowest terms."""
    return cast("sympy.Expr", sympy.factor(sympy.cancel(sympy.expand(a) / sympy.expand(b))))


def read_length(frames: sympy.Expr, symbol: sympy.Symbol) -> Length:
    """A number of frames, as the tracer writes it, as a function of `symbol`.

    Raises:
        OddAxisError: it is more than multiples, sums with numbers and divisions rounded down.
    """
    if frames == symbol:
        return Length()
    constant, rest = frames.as_coeff_Add()
    if constant.is_Integer and constant != 0:
        return read_length(rest, symbol).then(add=int(constant))
    factor, rest = frames.as_coeff_Mul()
    if factor.is_Integer and factor > 1:
        return read_length(rest, symbol).then(mul=int(factor))
    name = type(frames).__name__
    if name in ("FloorDiv", "CleanDiv") and frames.args[1].is_Integer:
        return read_length(frames.args[0], symbol).then(div=int(frames.args[1]))
    raise OddAxisError(f"the number of its frames is {frames}")
