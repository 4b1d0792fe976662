"""How convolutions run without axes of size 1.

Rules:
    1. A window over time that is as long as the input gives one frame: its frames are further
       channels. What is left of a convolution over time and frequency is one over frequency.
    2. If no other axis is left, the convolution is a product of rows with a matrix, a `Gemm`.
    3. A transposed convolution of one frame, whose kernel has one frame, is one over frequency.
    4. Where the frames of a window are not neighbours (dilation), where it is padded, or where the
       channels of a plain convolution are divided into groups, it stays as it is.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.optimize.forms import Forms, Sizes, new_constant


def convolve(node: ir.Node, forms: Forms) -> bool:
    """Rules 1 and 2."""
    shape, result = forms.shape(node.inputs[0]), forms.shape(node.outputs[0])
    weights = _weights(node)
    value = node.inputs[0]
    if shape is None or result is None or weights is None or value is None:
        return False
    if not _is_one_window(node, shape, weights):
        return False
    folded = weights.reshape(weights.shape[0], -1, *weights.shape[3:])
    channels = shape[1] * shape[2]  # type: ignore[operator]
    if len(shape) == 3:
        if shape[2] != 1 or not forms.missing(value, shape):
            return False
        return _as_matrix(node, forms, folded, channels)
    new = _smaller(node, [forms.form(value, (shape[0], channels, *shape[3:]), node)], forms, folded)
    return _put(node, forms, new, (*result[:2], *result[3:]))


def convolve_transposed(node: ir.Node, forms: Forms) -> bool:
    """Rule 3."""
    shape, result = forms.shape(node.inputs[0]), forms.shape(node.outputs[0])
    weights, value = _weights(node), node.inputs[0]
    if shape is None or result is None or weights is None or value is None or len(shape) != 4:
        return False
    if shape[2] != 1 or result[2] != 1 or weights.shape[2] != 1 or "output_shape" in node.attributes:
        return False
    source = forms.form(value, (*shape[:2], *shape[3:]), node)
    new = _smaller(node, [source], forms, weights[:, :, 0])
    return _put(node, forms, new, (*result[:2], *result[3:]))


def _weights(node: ir.Node) -> np.ndarray | None:
    tensor = ir.convenience.get_const_tensor(node.inputs[1]) if node.inputs[1] else None
    if tensor is None or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return None
    return tensor.numpy()


def _is_one_window(node: ir.Node, shape: Sizes, weights: np.ndarray) -> bool:
    """Rule 4."""
    if not isinstance(shape[1], int) or shape[2] != weights.shape[2] or len(shape) > 4:
        return False
    spatial = len(shape) - 2
    pads = node.attributes.get_ints("pads", [0] * 2 * spatial)
    dilation = node.attributes.get_ints("dilations", [1] * spatial)[0]
    return pads[0] == 0 and pads[spatial] == 0 and (dilation == 1 or shape[2] == 1)


def _as_matrix(node: ir.Node, forms: Forms, folded: np.ndarray, channels: int) -> bool:
    """Rule 2."""
    value, shape = node.inputs[0], forms.shape(node.inputs[0])
    if node.attributes.get_int("group", 1) != 1 or value is None or shape is None:
        return False
    name = f"{_name(node)}.rows"
    inputs = [forms.form(value, (shape[0], channels), node), None, *node.inputs[2:]]
    inputs[1] = new_constant(forms.graph, name, folded.T)
    return _put(node, forms, ir.node("Gemm", inputs), (shape[0], folded.shape[0]))


def _smaller(
    node: ir.Node, inputs: list[ir.Value | None], forms: Forms, weights: np.ndarray
) -> ir.Node:
    """The same over the axes after the first."""
    name = f"{_name(node)}.{'_'.join(map(str, weights.shape))}"
    constant = new_constant(forms.graph, name, weights)
    attributes = {
        key: value
        for key, value in node.attributes.items()
        if key in ("group", "auto_pad")
    }
    for key in ("strides", "dilations", "output_padding", "kernel_shape"):
        if key in node.attributes:
            attributes[key] = ir.AttrInt64s(key, node.attributes[key].as_ints()[1:])
    if "pads" in node.attributes:
        pads = node.attributes["pads"].as_ints()
        half = len(pads) // 2
        attributes["pads"] = ir.AttrInt64s("pads", [*pads[1:half], *pads[half + 1 :]])
    return ir.node(node.op_type, [*inputs, constant, *node.inputs[2:]], attributes)


def _name(node: ir.Node) -> str:
    weights = node.inputs[1]
    return str(weights.name if weights is not None else node.name)


def _put(node: ir.Node, forms: Forms, new: ir.Node, shape: Sizes) -> bool:
    new.metadata_props.update(node.metadata_props)
    forms.graph.insert_before(node, new)
    forms.computed(node.outputs[0], new.outputs[0], shape)
    return True
