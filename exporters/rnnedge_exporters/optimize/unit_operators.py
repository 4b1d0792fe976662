"""How operators run without axes of size 1: one function for each kind of operator.

Each takes a node and the forms of all values, puts in its place a node that works on smaller
shapes, and notes what that computes. It returns False, having changed nothing, where the operator
does not do so.

Rules:
    1. What is computed element by element is in `unit_elementwise.py`.
    2. What works along an axis (`Concat`, `Split`, `Slice`, `Softmax`, `LayerNormalization`, sums)
       keeps that axis; the others are dropped where their size is 1.
    3. A product with a matrix of weights takes rows: [batch, features]. With the bias behind it, it
       is one `Gemm`.
    4. `Gather` by an index takes rows by an index without axes of size 1, or one row.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from rnnedge_exporters.optimize.forms import Forms
from rnnedge_exporters.optimize.unit_convolutions import convolve, convolve_transposed
from rnnedge_exporters.optimize.unit_elementwise import ELEMENTWISE, elementwise
from rnnedge_exporters.optimize.unit_nodes import (
    fewest_reshapes,
    kept_axes,
    known,
    node_like,
    only,
    only_kept,
    put,
)
from rnnedge_exporters.optimize.values import numbers_of, whole_numbers


def concatenate(node: ir.Node, forms: Forms) -> bool:
    """Rule 2."""
    _, result = known(forms, node.outputs[0])
    axis = node.attributes["axis"].as_int() % len(result)
    values = [known(forms, value) for value in node.inputs]
    kept = fewest_reshapes(forms, values, result, kept_axes(result, [axis]), only_kept)
    inputs = []
    for value in node.inputs:
        value, shape = known(forms, value)
        inputs.append(forms.form(value, only(shape, kept), node))
    new = node_like(node, inputs, axis=ir.AttrInt64("axis", kept.index(axis)))
    return put(node, forms, new, [only(result, kept)])


def split(node: ir.Node, forms: Forms) -> bool:
    """Rule 2."""
    value, shape = known(forms, node.inputs[0])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    kept = fewest_reshapes(forms, [(value, shape)], shape, kept_axes(shape, [axis]), only_kept)
    if forms.missing(value, only(shape, kept)):
        kept = list(range(len(shape)))  # one reshape for all, not one behind each part
    new = node_like(
        node,
        [forms.form(value, only(shape, kept), node), *node.inputs[1:]],
        axis=ir.AttrInt64("axis", kept.index(axis)),
    )
    return put(node, forms, new, [only(known(forms, v)[1], kept) for v in node.outputs])


def cut(node: ir.Node, forms: Forms) -> bool:
    """Rule 2, of `Slice`."""
    value, shape = known(forms, node.inputs[0])
    _, result = known(forms, node.outputs[0])
    axes = numbers_of(node.inputs[3]) if len(node.inputs) > 3 else None
    if axes is None:
        return False
    axes = [axis % len(shape) for axis in axes]
    kept = fewest_reshapes(forms, [(value, shape)], shape, kept_axes(shape, axes), only_kept)
    inputs = [forms.form(value, only(shape, kept), node), *node.inputs[1:]]
    places = [kept.index(axis) for axis in axes]
    name = "axes_" + "_".join(map(str, places))
    inputs[3] = whole_numbers(forms.graph, name, places)
    return put(node, forms, node_like(node, inputs), [only(result, kept)])


def transpose(node: ir.Node, forms: Forms) -> bool:
    """The order of the axes that are left."""
    value, shape = known(forms, node.inputs[0])
    kept = kept_axes(shape)
    perm = [axis for axis in node.attributes["perm"].as_ints() if axis in kept]
    order = ir.AttrInt64s("perm", [kept.index(axis) for axis in perm])
    new = node_like(node, [forms.form(value, only(shape, kept), node)], perm=order)
    return put(node, forms, new, [only(shape, perm)])


def along_last(node: ir.Node, forms: Forms) -> bool:
    """Rule 2, of what works along the last axis."""
    value, shape = known(forms, node.inputs[0])
    if node.attributes.get_int("axis", -1) % len(shape) != len(shape) - 1:
        return False
    if len(node.outputs) > 1:
        return False
    smaller = forms.shape(forms.of(value).source)
    if not smaller or smaller[-1] != shape[-1]:
        kept = kept_axes(shape, [len(shape) - 1])
        smaller = only(shape, fewest_reshapes(forms, [(value, shape)], shape, kept, only_kept))
    new = node_like(
        node,
        [forms.form(value, smaller, node), *node.inputs[1:]],
        axis=ir.AttrInt64("axis", -1),
    )
    return put(node, forms, new, [smaller])


def reduce(node: ir.Node, forms: Forms) -> bool:
    """Rule 2, of sums and means."""
    value, shape = known(forms, node.inputs[0])
    axes = numbers_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if not axes:
        return False
    axes = [axis % len(shape) for axis in axes]
    kept = fewest_reshapes(forms, [(value, shape)], shape, kept_axes(shape, axes), only_kept)
    places = [kept.index(axis) for axis in axes]
    name = "axes_" + "_".join(map(str, places))
    new = node_like(
        node,
        [
            forms.form(value, only(shape, kept), node),
            whole_numbers(forms.graph, name, places),
        ],
        keepdims=ir.AttrInt64("keepdims", 0),
    )
    return put(node, forms, new, [tuple(shape[axis] for axis in kept if axis not in axes)])


def multiply(node: ir.Node, forms: Forms) -> bool:
    """Rule 3."""
    value, shape = known(forms, node.inputs[0])
    weights, matrix = known(forms, node.inputs[1])
    if len(matrix) != 2 or ir.convenience.get_const_tensor(weights) is None:
        return False
    rows = only(shape[:-1], kept_axes(shape[:-1]))
    if not rows:
        return False
    add = _bias(node, forms) if len(rows) == 1 else None
    if add is None:
        there = forms.shape(forms.of(value).source)
        if there and len(there) > 1 and there[-1] == shape[-1]:
            rows = there[:-1]
        new = node_like(node, [forms.form(value, (*rows, shape[-1]), node), weights])
        return put(node, forms, new, [(*rows, matrix[1])])
    source = forms.form(value, (*rows, shape[-1]), node)
    place, bias = add
    new = ir.node("Gemm", [source, weights, bias])
    put(node, forms, new, [(*rows, matrix[1])])
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
    value, shape = known(forms, node.inputs[0])
    index, taken = known(forms, node.inputs[1])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    is_there = not forms.missing(index, taken)
    rows = taken if is_there else only(taken, kept_axes(taken))
    kept = kept_axes(shape, [axis])
    at = kept.index(axis)
    smaller = only(shape, kept)
    new = node_like(
        node,
        [forms.form(value, smaller, node), forms.form(index, rows, node)],
        axis=ir.AttrInt64("axis", at),
    )
    return put(node, forms, new, [(*smaller[:at], *rows, *smaller[at + 1 :])])


def pick(node: ir.Node, forms: Forms) -> bool:
    """Rule 2, of an index as large as what is taken."""
    value, shape = known(forms, node.inputs[0])
    index, taken = known(forms, node.inputs[1])
    axis = node.attributes.get_int("axis", 0) % len(shape)
    if any(a != b for at, (a, b) in enumerate(zip(shape, taken, strict=True)) if at != axis):
        return False
    kept = [at for at in range(len(shape)) if at == axis or shape[at] != 1]
    inputs = [forms.form(v, only(s, kept), node) for v, s in ((value, shape), (index, taken))]
    new = node_like(node, inputs, axis=ir.AttrInt64("axis", kept.index(axis)))
    return put(node, forms, new, [only(taken, kept)])


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
