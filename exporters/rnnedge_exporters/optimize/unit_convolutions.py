"""How convolutions run without axes of size 1.

Rules:
    1. A window over time that is as long as the input gives one frame: its frames are further
       channels. What is left of a convolution over time and frequency is one over frequency.
    2. If no other axis is left, the convolution is a product of rows with a matrix, a `Gemm`.
    3. A transposed convolution of one frame, whose kernel has one frame, is one over frequency.
    4. Of a window over time and frequency, the frames that the kernel reads are taken first where
       they are not neighbours (dilation). A convolution over time alone stays as it is then, and
       where it is padded, or its channels are divided into groups.
    5. A transposed convolution of which a part is cut out, an inverse short-time Fourier transform
       for instance, is a `Gemm` to that part, if its matrix is at most twice as large as the
       kernel.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.optimize.forms import Forms, Sizes, new_constant
from rnnedge_exporters.optimize.values import kernel_of, numbers_of, whole_numbers


def convolve(node: ir.Node, forms: Forms) -> bool:
    """Rules 1 and 2."""
    shape, result = forms.shape(node.inputs[0]), forms.shape(node.outputs[0])
    weights = kernel_of(node)
    value = node.inputs[0]
    if shape is None or result is None or weights is None or value is None:
        return False
    if not _is_one_window(node, shape, weights):
        return False
    if shape[2] != weights.shape[2]:
        value, shape = _read_frames(node, forms, value, shape, weights.shape[2])
    folded = weights.reshape(weights.shape[0], -1, *weights.shape[3:])
    channels = int(shape[1]) * int(shape[2])
    if len(shape) == 3:
        is_row = shape[1] == 1 or shape[2] == 1
        if not is_row and not forms.missing(value, shape):
            return False  # it would take a reshape to get rid of nothing
        return _as_matrix(node, forms, folded, channels)
    new = _smaller(node, [forms.form(value, (shape[0], channels, *shape[3:]), node)], forms, folded)
    return _put(node, forms, new, (*result[:2], *result[3:]))


def convolve_transposed(node: ir.Node, forms: Forms) -> bool:
    """Rule 3."""
    shape, result = forms.shape(node.inputs[0]), forms.shape(node.outputs[0])
    weights, value = kernel_of(node), node.inputs[0]
    if shape is None or result is None or weights is None or value is None:
        return False
    if len(shape) == 3:
        return _as_overlap(node, forms, value, weights)
    if len(shape) != 4:
        return False
    if (
        shape[2] != 1
        or result[2] != 1
        or weights.shape[2] != 1
        or "output_shape" in node.attributes
    ):
        return False
    source = forms.form(value, (*shape[:2], *shape[3:]), node)
    new = _smaller(node, [source], forms, weights[:, :, 0])
    return _put(node, forms, new, (*result[:2], *result[3:]))


def _as_overlap(node: ir.Node, forms: Forms, value: ir.Value, weights: np.ndarray) -> bool:
    """Rule 5: what of the overlapping frames is cut out, as a product of rows with a matrix."""
    shape, whole = forms.shape(value), forms.shape(node.outputs[0])
    uses = list(node.outputs[0].uses())
    cut = uses[0].node if len(uses) == 1 and uses[0].node.op_type == "Slice" else None
    if cut is None or node.outputs[0].is_graph_output() or shape is None or whole is None:
        return False
    given = [numbers_of(source) for source in cut.inputs[1:5]]
    channels, frames, length = shape[1], shape[2], whole[2]
    if None in given or node.attributes.get_int("group", 1) != 1:
        return False
    if given[2:] not in ([[2], [1]], [[-1], [1]]) or "output_shape" in node.attributes:
        return False
    if not all(isinstance(size, int) for size in (channels, frames, length)):
        return False
    kept = range(int(length))[slice(given[0][0], given[1][0])]  # type: ignore[index]
    matrix = _overlapped(node, weights, int(frames), int(length))[..., kept.start : kept.stop]
    if matrix.size > 2 * weights.size:
        return False
    rows, outputs = int(channels) * int(frames), weights.shape[1] * len(kept)
    inputs = [forms.form(value, (shape[0], rows), node)]
    inputs.append(new_constant(forms.graph, f"{_name(node)}.rows", matrix.reshape(rows, outputs)))
    if (bias := node.inputs[2] if len(node.inputs) > 2 else None) is not None:
        tensor = ir.convenience.get_const_tensor(bias)
        if tensor is None:
            return False
        array = tensor.numpy().repeat(len(kept))
        inputs.append(new_constant(forms.graph, f"{bias.name}.rows", array))
    new = ir.node("Gemm", inputs)
    new.metadata_props.update(node.metadata_props)
    forms.graph.insert_before(node, new)
    forms.computed(cut.outputs[0], new.outputs[0], (shape[0], outputs))
    forms.same(node.outputs[0], cut.outputs[0])  # nobody else reads it
    return True


def _overlapped(node: ir.Node, weights: np.ndarray, frames: int, length: int) -> np.ndarray:
    """What each number of each frame adds to each sample: [channels, frames, outputs, samples]."""
    (stride,) = node.attributes.get_ints("strides", [1])
    (dilation,) = node.attributes.get_ints("dilations", [1])
    before = node.attributes.get_ints("pads", [0, 0])[0]
    channels, outputs, kernel = weights.shape
    matrix = np.zeros((channels, frames, outputs, length), weights.dtype)
    for frame in range(frames):
        for tap in range(kernel):
            place = frame * stride + tap * dilation - before
            if 0 <= place < length:
                matrix[:, frame, :, place] += weights[:, :, tap]
    return matrix


def _is_one_window(node: ir.Node, shape: Sizes, weights: np.ndarray) -> bool:
    """Rule 4."""
    if not isinstance(shape[1], int) or len(shape) > 4:
        return False
    spatial = len(shape) - 2
    pads = node.attributes.get_ints("pads", [0] * 2 * spatial)
    dilation = node.attributes.get_ints("dilations", [1] * spatial)[0]
    reach = (weights.shape[2] - 1) * dilation + 1
    is_near = dilation == 1 or len(shape) == 4
    return pads[0] == 0 and pads[spatial] == 0 and shape[2] == reach and is_near


def _read_frames(
    node: ir.Node, forms: Forms, value: ir.Value, shape: Sizes, frames: int
) -> tuple[ir.Value, Sizes]:
    """Rule 4: of a window, the frames that the kernel reads."""
    dilation = node.attributes["dilations"].as_ints()[0]
    given = {"first": 0, "last": 2**62, "axis": 2, "step": dilation}
    bounds = [whole_numbers(forms.graph, f"{k}_{v}", [v]) for k, v in given.items()]
    cut = ir.node("Slice", [forms.form(value, shape, node), *bounds])
    read = cut.outputs[0]
    read.type = value.type
    forms.graph.insert_before(node, cut)
    forms.computed(read, read, (*shape[:2], frames, *shape[3:]))
    return read, (*shape[:2], frames, *shape[3:])


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
        key: value for key, value in node.attributes.items() if key in ("group", "auto_pad")
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
