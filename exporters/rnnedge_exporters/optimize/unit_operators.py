"""How operators run without axes of size 1: one function for each kind of operator.

Each takes a node and the forms of all values, puts in its place a node that works on smaller
shapes, and notes what that computes. It returns False, having changed nothing, where the operator
does not do so.

Rules:
    1. Of what is computed element by element, axes are dropped that have size 1 in the result.
    2. What works along an axis (`Concat`, `Split`, `Slice`, `Softmax`, `LayerNormalization`, sums)
       keeps that axis; the others are dropped where their size is 1.
    3. A product with a matrix of weights takes rows: [batch, features]. With the bias behind it, it
       is one `Gemm`.
    4. `Gather` by an index takes rows by an index without axes of size 1, or one row.
    5. One number that is expanded for an operator that repeats it anyway is not expanded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from rnnedge_exporters.optimize.forms import Forms, Size, Sizes, numbers_of
from rnnedge_exporters.optimize.unit_convolutions import convolve, convolve_transposed
from rnnedge_exporters.optimize.values import whole_numbers

ELEMENTWISE = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "PRelu", "Clip", "Cast", "Mod"),
    *("Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not"),
    *("Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Abs", "Neg", "Floor", "Ceil", "Round"),
    *("Softplus", "Erf", "Elu", "LeakyRelu", "Gelu", "HardSigmoid", "HardSwish", "Selu", "Sign"),
    *("Sin", "Cos", "Reciprocal", "Mish", "Softsign"),
)


def _kept(sizes: Sizes, also: Sequence[int] = ()) -> list[int]:
    return [axis for axis, size in enumerate(sizes) if size != 1 or axis in also]


def _sizes(sizes: Sizes, axes: Sequence[int]) -> Sizes:
    return tuple(sizes[axis] for axis in axes)


def _known(forms: Forms, value: ir.Value | None) -> tuple[ir.Value, Sizes]:
    shape = forms.shape(value)
    assert value is not None  # noqa: S101 - the walk has looked
    assert shape is not None  # noqa: S101
    return value, shape


def _put(node: ir.Node, forms: Forms, kind: ir.Node, shapes: Sequence[Sizes]) -> bool:
    kind.metadata_props.update(node.metadata_props)
    forms.graph.insert_before(node, kind)
    for old, new, shape in zip(node.outputs, kind.outputs, shapes, strict=True):
        forms.computed(old, new, shape)
    return True


def _like(node: ir.Node, inputs: Sequence[ir.Value | None], **attributes: object) -> ir.Node:
    """A node of that kind with other inputs, and some other attributes."""
    return ir.node(
        node.op_type,
        inputs,
        {**{a.name: a for a in node.attributes.values()}, **attributes},  # type: ignore[dict-item]
        num_outputs=len(node.outputs),
    )


def elementwise(node: ir.Node, forms: Forms) -> bool:
    """Rule 1."""
    _, result = _known(forms, node.outputs[0])
    given = [_unexpanded(place, node, forms) for place in range(len(node.inputs))]
    values = [_known(forms, value) for value in given if value is not None]
    if (there := _common(forms, values, result)) is not None:
        inputs = [v if v is None or _is_one(forms, v) else forms.of(v).source for v in given]
        return _put(node, forms, _like(node, inputs), [there])
    kept = _best(forms, values, result, _kept(result), _aligned)
    inputs = [
        None if v is None else forms.form(v, _aligned(_known(forms, v)[1], len(result), kept), node)
        for v in given
    ]
    return _put(node, forms, _like(node, inputs), [_sizes(result, kept)])


def _common(forms: Forms, values: Sequence[tuple[ir.Value, Sizes]], result: Sizes) -> Sizes | None:
    """The shape in which all are there already, where nothing is repeated but single numbers."""
    found = [(v, shape) for v, shape in values if not _is_one(forms, v)]
    shapes = {forms.shape(forms.of(v).source) for v, _ in found}
    smaller = {_sizes(shape, _kept(shape)) for _, shape in found} | {_sizes(result, _kept(result))}
    return shapes.pop() if len(shapes) == 1 and len(smaller) == 1 else None


def _is_one(forms: Forms, value: ir.Value) -> bool:
    return forms.shape(value) == ()


def _unexpanded(place: int, node: ir.Node, forms: Forms) -> ir.Value | None:
    """Rule 5."""
    value = node.inputs[place]
    made = None if value is None else value.producer()
    if made is None or made.op_type != "Expand":
        return value
    result, before = forms.shape(node.outputs[0]), forms.shape(made.inputs[0])
    others = [forms.shape(v) for at, v in enumerate(node.inputs) if at != place]
    return made.inputs[0] if result in others and before == () else value


def _best(
    forms: Forms,
    values: Sequence[tuple[ir.Value, Sizes]],
    like: Sizes,
    kept: list[int],
    restricted: Callable[[Sizes, int, Sequence[int]], Sizes],
) -> list[int]:
    """The axes to keep: all or as few as possible, whichever takes fewer reshapes."""

    def reshapes(axes: list[int]) -> int:
        return sum(forms.missing(v, restricted(shape, len(like), axes)) for v, shape in values)

    return min(kept, list(range(len(like))), key=reshapes)


def _only(shape: Sizes, rank: int, kept: Sequence[int]) -> Sizes:
    """Of a shape that has all axes."""
    assert len(shape) == rank  # noqa: S101 - nothing is broadcast
    return _sizes(shape, kept)


def _aligned(shape: Sizes, rank: int, kept: Sequence[int]) -> Sizes:
    """What is broadcast to `rank` axes of which those in `kept` stay."""
    whole: list[Size] = [*[1] * (rank - len(shape)), *shape]
    sizes = [whole[axis] for axis in kept]
    while sizes and sizes[0] == 1:
        sizes.pop(0)
    return tuple(sizes)


def concatenate(node: ir.Node, forms: Forms) -> bool:
    """Rule 2."""
    _, result = _known(forms, node.outputs[0])
    axis = node.attributes["axis"].as_int() % len(result)
    values = [_known(forms, value) for value in node.inputs]
    kept = _best(forms, values, result, _kept(result, [axis]), _only)
    inputs = []
    for value in node.inputs:
        value, shape = _known(forms, value)
        inputs.append(forms.form(value, _sizes(shape, kept), node))
    new = _like(node, inputs, axis=ir.AttrInt64("axis", kept.index(axis)))
    return _put(node, forms, new, [_sizes(result, kept)])


def split(node: ir.Node, forms: Forms) -> bool:
    """Rule 2."""
    value, shape = _known(forms, node.inputs[0])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    kept = _best(forms, [(value, shape)], shape, _kept(shape, [axis]), _only)
    if forms.missing(value, _sizes(shape, kept)):
        kept = list(range(len(shape)))  # one reshape for all, not one behind each part
    new = _like(
        node,
        [forms.form(value, _sizes(shape, kept), node), *node.inputs[1:]],
        axis=ir.AttrInt64("axis", kept.index(axis)),
    )
    return _put(node, forms, new, [_sizes(_known(forms, v)[1], kept) for v in node.outputs])


def cut(node: ir.Node, forms: Forms) -> bool:
    """Rule 2, of `Slice`."""
    value, shape = _known(forms, node.inputs[0])
    _, result = _known(forms, node.outputs[0])
    axes = numbers_of(node.inputs[3]) if len(node.inputs) > 3 else None
    if axes is None:
        return False
    axes = [axis % len(shape) for axis in axes]
    kept = _best(forms, [(value, shape)], shape, _kept(shape, axes), _only)
    inputs = [forms.form(value, _sizes(shape, kept), node), *node.inputs[1:]]
    places = [kept.index(axis) for axis in axes]
    name = "axes_" + "_".join(map(str, places))
    inputs[3] = whole_numbers(forms.graph, name, places)
    return _put(node, forms, _like(node, inputs), [_sizes(result, kept)])


def transpose(node: ir.Node, forms: Forms) -> bool:
    """The order of the axes that are left."""
    value, shape = _known(forms, node.inputs[0])
    kept = _kept(shape)
    perm = [axis for axis in node.attributes["perm"].as_ints() if axis in kept]
    order = ir.AttrInt64s("perm", [kept.index(axis) for axis in perm])
    new = _like(node, [forms.form(value, _sizes(shape, kept), node)], perm=order)
    return _put(node, forms, new, [_sizes(shape, perm)])


def along_last(node: ir.Node, forms: Forms) -> bool:
    """Rule 2, of what works along the last axis."""
    value, shape = _known(forms, node.inputs[0])
    if node.attributes.get_int("axis", -1) % len(shape) != len(shape) - 1:
        return False
    if len(node.outputs) > 1:
        return False
    smaller = forms.shape(forms.of(value).source)
    if not smaller or smaller[-1] != shape[-1]:
        kept = _kept(shape, [len(shape) - 1])
        smaller = _sizes(shape, _best(forms, [(value, shape)], shape, kept, _only))
    new = _like(
        node,
        [forms.form(value, smaller, node), *node.inputs[1:]],
        axis=ir.AttrInt64("axis", -1),
    )
    return _put(node, forms, new, [smaller])


def reduce(node: ir.Node, forms: Forms) -> bool:
    """Rule 2, of sums and means."""
    value, shape = _known(forms, node.inputs[0])
    axes = numbers_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if not axes:
        return False
    axes = [axis % len(shape) for axis in axes]
    kept = _best(forms, [(value, shape)], shape, _kept(shape, axes), _only)
    places = [kept.index(axis) for axis in axes]
    name = "axes_" + "_".join(map(str, places))
    new = _like(
        node,
        [
            forms.form(value, _sizes(shape, kept), node),
            whole_numbers(forms.graph, name, places),
        ],
        keepdims=ir.AttrInt64("keepdims", 0),
    )
    return _put(node, forms, new, [tuple(shape[axis] for axis in kept if axis not in axes)])


def multiply(node: ir.Node, forms: Forms) -> bool:
    """Rule 3."""
    value, shape = _known(forms, node.inputs[0])
    weights, matrix = _known(forms, node.inputs[1])
    if len(matrix) != 2 or ir.convenience.get_const_tensor(weights) is None:
        return False
    rows = _sizes(shape[:-1], _kept(shape[:-1]))
    if not rows:
        return False
    source = forms.form(value, (*rows, shape[-1]), node)
    add = _bias(node, forms) if len(rows) == 1 else None
    if add is None:
        new = _like(node, [source, weights])
        return _put(node, forms, new, [(*rows, matrix[1])])
    place, bias = add
    new = ir.node("Gemm", [source, weights, bias])
    _put(node, forms, new, [(*rows, matrix[1])])
    forms.same(place.outputs[0], node.outputs[0])
    return True


def _bias(node: ir.Node, forms: Forms) -> tuple[ir.Node, ir.Value] | None:
    """Who adds a bias, and nobody else reads the product."""
    result = node.outputs[0]
    uses = list(result.uses())
    if len(uses) != 1 or result.is_graph_output() or uses[0].node.op_type != "Add":
        return None
    add = uses[0].node
    bias = add.inputs[1 - uses[0].idx]
    if bias is None or ir.convenience.get_const_tensor(bias) is None:
        return None
    is_row = forms.shape(bias) == (forms.shape(result) or ("?",))[-1:]
    return (add, bias) if is_row else None


def take(node: ir.Node, forms: Forms) -> bool:
    """Rule 4."""
    value, shape = _known(forms, node.inputs[0])
    index, taken = _known(forms, node.inputs[1])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    is_there = not forms.missing(index, taken)
    rows = taken if is_there else _sizes(taken, _kept(taken))
    kept = _kept(shape, [axis])
    at = kept.index(axis)
    smaller = _sizes(shape, kept)
    new = _like(
        node,
        [forms.form(value, smaller, node), forms.form(index, rows, node)],
        axis=ir.AttrInt64("axis", at),
    )
    return _put(node, forms, new, [(*smaller[:at], *rows, *smaller[at + 1 :])])


def pick(node: ir.Node, forms: Forms) -> bool:
    """Rule 2, of an index as large as what is taken."""
    value, shape = _known(forms, node.inputs[0])
    index, taken = _known(forms, node.inputs[1])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    if any(a != b for at, (a, b) in enumerate(zip(shape, taken, strict=True)) if at != axis):
        return False
    kept = [at for at in range(len(shape)) if at == axis or shape[at] != 1]
    inputs = [forms.form(v, _sizes(s, kept), node) for v, s in ((value, shape), (index, taken))]
    new = _like(node, inputs, axis=ir.AttrInt64("axis", kept.index(axis)))
    return _put(node, forms, new, [_sizes(taken, kept)])


OPERATORS: dict[str, Callable[[ir.Node, Forms], bool]] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    "GatherElements": pick,
    "Concat": concatenate,
    "Split": split,
    "Slice": cut,
    "Transpose": transpose,
    "Softmax": along_last,
    "LayerNormalization": along_last,
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"), reduce),
    "MatMul": multiply,
    "Gather": take,
    "Conv": convolve,
    "ConvTranspose": convolve_transposed,
}
