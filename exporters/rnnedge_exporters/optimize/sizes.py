"""Pass: where every run takes the same number of frames, sizes that follow from it are numbers.

Rules:
    1. The symbol of time is what makes an input's time axis as long as a run is; it is replaced in
       the shape of every value.
    2. The batch stays a symbol. A size that cannot be read stays as it is.
    3. What computes with sizes is left to `simplify`, which folds constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir
import sympy

Numbers = Mapping[sympy.Symbol, int]


def fix_sizes(model: ir.Model, frames: Mapping[str, tuple[int, int]]) -> None:
    """Edits `model` in place.

    Args:
        model: with the tracer's symbols in its shapes.
        frames: of each input that has a time axis: the axis, and its size in every run.
    """
    graph = model.graph
    numbers: dict[sympy.Symbol, int] = {}
    for value in graph.inputs:
        if value.shape is not None and str(value.name) in frames:
            axis, size = frames[str(value.name)]
            numbers |= _solved(value.shape[axis], size)
    for value in (*graph.inputs, *graph.outputs, *_inside(graph)):
        if value.shape is not None:
            value.shape = ir.Shape([_fixed(dim, numbers) for dim in value.shape])


def _inside(graph: ir.Graph) -> Iterable[ir.Value]:
    for node in graph.all_nodes():
        yield from node.outputs


def _solved(dim: int | ir.SymbolicDim, size: int) -> Numbers:
    """Rule 1: ``160*runs`` is 160 where runs is 1."""
    expression = _read(dim)
    symbols = [] if expression is None else list(expression.free_symbols)
    if expression is None or len(symbols) != 1:
        return {}
    (value,) = sympy.solve(expression - size, symbols[0])
    return {symbols[0]: int(value)}


def _fixed(dim: int | ir.SymbolicDim, numbers: Numbers) -> int | ir.SymbolicDim:
    expression = _read(dim)
    if expression is None or not expression.free_symbols & set(numbers):
        return dim
    known = expression.subs(dict(numbers))
    return int(known) if known.is_Integer else ir.SymbolicDim(str(known))


def _read(dim: int | ir.SymbolicDim) -> sympy.Expr | None:
    text = dim.value if isinstance(dim, ir.SymbolicDim) else None
    if text is None:
        return None
    try:
        # Symbols as the tracer has them: s1 may not become a number or a function of sympy's.
        names = {name: sympy.Symbol(name) for name in _names(text)}
        return sympy.parse_expr(text, local_dict=names)
    except (SyntaxError, TypeError, AttributeError, NameError, sympy.SympifyError):
        return None


def _names(text: str) -> set[str]:
    word = "".join(char if char.isalnum() or char == "_" else " " for char in text)
    return {part for part in word.split() if not part[0].isdigit() and part not in _FUNCTIONS}


_FUNCTIONS = {"Max", "Min", "Mod", "floor", "ceiling", "FloorDiv", "CeilToInt", "FloorToInt"}
