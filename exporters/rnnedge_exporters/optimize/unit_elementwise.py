"""How what is computed element by element runs without axes of size 1.

Rules:
    1. Where all tensors are in one shape already, whichever it is, and nothing but single numbers
       is repeated, that shape is taken.
    2. Otherwise axes are dropped that have size 1 in the result, from all operands alike.
    3. One number that is expanded for an operator that repeats it anyway is not expanded.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rnnedge_exporters.optimize.forms import Forms, Size, Sizes
from rnnedge_exporters.optimize.unit_nodes import (
    fewest_reshapes,
    kept_axes,
    known,
    node_like,
    only,
    put,
)

ELEMENTWISE = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "PRelu", "Clip", "Cast", "Mod"),
    *("Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not"),
    *("Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Abs", "Neg", "Floor", "Ceil", "Round"),
    *("Softplus", "Erf", "Elu", "LeakyRelu", "Gelu", "HardSigmoid", "HardSwish", "Selu", "Sign"),
    *("Sin", "Cos", "Reciprocal", "Mish", "Softsign"),
)


def elementwise(node: ir.Node, forms: Forms) -> bool:
    """Rules 1 and 2."""
    _, result = known(forms, node.outputs[0])
    given = [_unexpanded(place, node, forms) for place in range(len(node.inputs))]
    values = [known(forms, value) for value in given if value is not None]
    if (there := _common(forms, values, result)) is not None:
        inputs = [v if v is None or _is_one(forms, v) else forms.of(v).source for v in given]
        return put(node, forms, node_like(node, inputs), [there])
    kept = fewest_reshapes(forms, values, result, kept_axes(result), _aligned)
    inputs = [
        None if v is None else forms.form(v, _aligned(known(forms, v)[1], len(result), kept), node)
        for v in given
    ]
    return put(node, forms, node_like(node, inputs), [only(result, kept)])


def _common(forms: Forms, values: Sequence[tuple[ir.Value, Sizes]], result: Sizes) -> Sizes | None:
    """Rule 1."""
    found = [(v, shape) for v, shape in values if not _is_one(forms, v)]
    shapes = {forms.shape(forms.of(v).source) for v, _ in found}
    smaller = {only(shape, kept_axes(shape)) for _, shape in found} | {
        only(result, kept_axes(result))
    }
    return shapes.pop() if len(shapes) == 1 and len(smaller) == 1 else None


def _is_one(forms: Forms, value: ir.Value) -> bool:
    return forms.shape(value) == ()


def _unexpanded(place: int, node: ir.Node, forms: Forms) -> ir.Value | None:
    """Rule 3."""
    value = node.inputs[place]
    made = None if value is None else value.producer()
    if made is None or made.op_type != "Expand":
        return value
    result, before = forms.shape(node.outputs[0]), forms.shape(made.inputs[0])
    others = [forms.shape(v) for at, v in enumerate(node.inputs) if at != place]
    return made.inputs[0] if result in others and before == () else value


def _aligned(shape: Sizes, rank: int, kept: Sequence[int]) -> Sizes:
    """What is broadcast to `rank` axes of which those in `kept` stay."""
    whole: list[Size] = [*[1] * (rank - len(shape)), *shape]
    sizes = [whole[axis] for axis in kept]
    while sizes and sizes[0] == 1:
        sizes.pop(0)
    return tuple(sizes)
