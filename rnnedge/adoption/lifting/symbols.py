"""The shape of every value in a graph, with batch and time as symbols.

onnxruntime's symbolic shape inference does the work. Its results are text made by sympy; they are
read with Python's own parser and never evaluated, as names in them come from the file.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx
import sympy
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

from rnnedge.adoption.errors import AdoptionError
from rnnedge_runtime.contract import BATCH, TIME

Size: TypeAlias = Any
"""A sympy expression, or None where the size is not known."""

T = sympy.Symbol(TIME, integer=True, positive=True)
B = sympy.Symbol(BATCH, integer=True, positive=True)
_SYMBOLS = {TIME: T, BATCH: B}
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Shapes:
    """What is known of the values of a graph.

    Attributes:
        sizes: by value, one per axis.
        numbers: the content of small whole-number tensors that are made of sizes.
        dtypes: numpy's names of the element types.
    """

    sizes: dict[str, tuple[Size, ...]]
    numbers: dict[str, list[Size]]
    dtypes: dict[str, str]

    def of(self, name: str) -> tuple[Size, ...] | None:
        """The shape, None if not even the number of axes is known."""
        return self.sizes.get(name)


def infer_shapes(model: onnx.ModelProto, where: str) -> Shapes:
    """Shapes of all values in the main graph.

    Args:
        model: its inputs are declared with the symbols ``batch`` and ``time``; not changed.
        where: the file, for errors.

    Raises:
        AdoptionError: sizes that were fixed at export contradict these symbols.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    inference = SymbolicShapeInference(_LARGEST, True, False, 0, "")
    try:
        inference._preprocess(copy)
        while inference.run_:
            inference._infer_impl()
    except Exception as error:  # whatever it stumbles upon
        raise AdoptionError(
            f"its shapes cannot be followed with batch and time free: {error}".strip(),
            where=where,
            fix="export it with dynamic batch and time, or name the sizes that are fixed in --axes",
        ) from error
    for value in copy.graph.input:
        # Where a symbol meets a number, the inference takes the number for it, everywhere.
        _check_free(value, inference.known_vi_[value.name], where)
    sizes = {
        name: tuple(_size(dim) for dim in value.type.tensor_type.shape.dim)
        for name, value in inference.known_vi_.items()
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape")
    }
    for tensor in copy.graph.initializer:
        sizes[tensor.name] = tuple(sympy.Integer(size) for size in tensor.dims)
    numbers = {name: _numbers(value) for name, value in inference.sympy_data_.items()}
    dtypes = {
        name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
        for name, value in inference.known_vi_.items()
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type
    }
    return Shapes(sizes, numbers, dtypes)


def _check_free(declared: onnx.ValueInfoProto, found: onnx.ValueInfoProto, where: str) -> None:
    pairs = zip(declared.type.tensor_type.shape.dim, found.type.tensor_type.shape.dim, strict=True)
    for before, after in pairs:
        if before.dim_param in _SYMBOLS and after.dim_param != before.dim_param:
            size = after.dim_value if after.HasField("dim_value") else after.dim_param
            raise AdoptionError(
                f"the graph takes no {before.dim_param} but {size}: a size was fixed at export, or "
                "a stored table has that many entries",
                where=f"input {declared.name!r}, {where}",
                fix="export it with dynamic batch and time; if the size is meant, write it as a "
                "number in --axes",
            )


def _size(dim: onnx.TensorShapeProto.Dimension) -> Size:
    if dim.HasField("dim_value"):
        return sympy.Integer(dim.dim_value)
    return parse_size(dim.dim_param) if dim.HasField("dim_param") else None


def _numbers(value: Any) -> list[Size]:
    items: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
    return [parse_size(str(item)) for item in items]


_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def parse_size(text: str) -> Size:
    """Reads ``2*batch*time + 1``; None for what is no polynomial."""
    try:
        tree = ast.parse(text, mode="eval").body
        return sympy.expand(_evaluate(tree))
    except (SyntaxError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return sympy.Integer(node.value)
    if isinstance(node, ast.Name):
        return _SYMBOLS.get(node.id) or sympy.Symbol(node.id, integer=True, positive=True)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    raise ValueError(ast.dump(node))


def has(size: Size, symbol: Any) -> bool:
    """Whether a size depends on a symbol; one that is not known is taken to."""
    return size is None or symbol in size.free_symbols
