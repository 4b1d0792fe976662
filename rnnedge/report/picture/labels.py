"""What is written in a box: the main operator of its nodes, and its size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import onnx

from rnnedge.report.graph import GATES, attribute
from rnnedge.report.picture.operators import ACTIVATIONS, JOINS, PLUMBING, is_layer

Shapes = Mapping[str, Sequence[int]]
"""The shape of each stored tensor, by name."""

_LINEAR = {"MatMul", "Gemm", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulNBits"}
_CONVOLUTIONS = {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv"}
_RANK: tuple[Collection[str], ...] = (
    {*GATES, "Scan", "Loop", "If"},
    _CONVOLUTIONS,
    _LINEAR,
    {"Gather"},
)
"""Which operator of a module is its main one: one of the first set that has any."""
_NAMES = {
    "LayerNormalization": "LayerNorm",
    "BatchNormalization": "BatchNorm",
    "InstanceNormalization": "InstanceNorm",
    "GroupNormalization": "GroupNorm",
    "RMSNormalization": "RMSNorm",
    "SkipLayerNormalization": "Add, LayerNorm",
    "GlobalAveragePool": "AveragePool over all",
    "CumSum": "Cumulative sum",
    "Sub": "Subtract",
    "Mul": "Multiply",
    "Div": "Divide",
    "Where": "Choose",
    "Concat": "Concatenate",
    "Pow": "Power",
}


def describe(nodes: Sequence[onnx.NodeProto], shapes: Shapes) -> str:
    """The main operator of a module and its size: ``GRU 64→128, 2 layers``.

    Args:
        nodes: the module's, in the order of the graph.
        shapes: of the tensors in the file, and of what is made of them alone.
    """
    main = _main(nodes, shapes)
    if main[0].op_type in GATES:
        return _recurrent(main, shapes)
    texts = [_one(node, shapes) for node in main]
    if len(texts) == 1:
        return texts[0]
    if len(set(texts)) == 1:
        return f"{len(texts)} times {texts[0]}"
    return f"{len(texts)} {name_of(main[0], shapes)}"


def summarize(groups: Sequence[Sequence[onnx.NodeProto]], shapes: Shapes) -> str:
    """Many modules in few words: ``3 Conv, 2 GRU, 4 more``."""
    counts = Counter(name_of(_main(nodes, shapes)[0], shapes) for nodes in groups)
    common = counts.most_common(3)
    words = [f"{count} {name}" for name, count in common]
    rest = counts.total() - sum(count for _, count in common)
    return ", ".join([*words, f"{rest} more"] if rest else words)


def name_of(node: onnx.NodeProto, shapes: Shapes) -> str:
    """What people call the operator, without its size."""
    kind = node.op_type
    if kind in _LINEAR:
        stored = any(name in shapes for name in node.input)
        return "Linear" if stored or kind == "MatMulNBits" else "MatMul"
    if kind in _CONVOLUTIONS:
        return "ConvTranspose" if kind == "ConvTranspose" else "Conv"
    if kind == "DynamicQuantizeLSTM":
        return "LSTM"
    if kind == "Gather" and node.input[0] in shapes:
        return "Embedding"
    return _NAMES.get(kind) or ACTIVATIONS.get(kind) or kind


def stored_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in the file, and of weights that nodes unpack or transpose."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for value in (a.t for a in node.attribute if a.name == "value"):
                shapes[node.output[0]] = tuple(value.dims)
        elif node.op_type in ("Cast", "Identity", "DequantizeLinear", "Transpose"):
            shape = shapes.get(node.input[0])
            if shape is not None:
                shapes[node.output[0]] = _transposed(shape, node)
    return shapes


def _transposed(shape: tuple[int, ...], node: onnx.NodeProto) -> tuple[int, ...]:
    if node.op_type != "Transpose":
        return shape
    order = attribute(node, "perm", None)
    return tuple(shape[axis] for axis in order) if isinstance(order, list) else shape[::-1]


def _main(nodes: Sequence[onnx.NodeProto], shapes: Shapes) -> list[onnx.NodeProto]:
    layers = [node for node in nodes if is_layer(node, shapes)]
    for kinds in _RANK:
        found = [node for node in layers if node.op_type in kinds]
        if found:
            return found
    others: tuple[Collection[str], ...] = (ACTIVATIONS, JOINS, PLUMBING)
    for kinds in others:
        layers = layers or [node for node in nodes if node.op_type in kinds][:1]
    return [node for node in layers if node.op_type == layers[0].op_type]


def _one(node: onnx.NodeProto, shapes: Shapes) -> str:
    return f"{name_of(node, shapes)}{_size_of(node.op_type)(node, shapes)}"


def _size_of(kind: str) -> Callable[[onnx.NodeProto, Shapes], str]:
    if kind in _LINEAR:
        return _linear
    if kind in _CONVOLUTIONS:
        return _convolution
    if kind == "Gather":
        return _embedding
    return _norm if kind.endswith("Normalization") else _window


def _recurrent(nodes: Sequence[onnx.NodeProto], shapes: Shapes) -> str:
    first, last = nodes[0], nodes[-1]
    # W is [directions, gates * hidden, input]; the quantised LSTM's has the last two swapped.
    is_quantised = first.op_type == "DynamicQuantizeLSTM"
    weight = shapes.get(first.input[1], ())
    inputs = weight[1 if is_quantised else 2] if len(weight) == 3 else "?"
    way = attribute(last, "direction", "forward")
    hidden = f"{'2×' if way == 'bidirectional' else ''}{attribute(last, 'hidden_size', '?')}"
    text = f"{name_of(first, shapes)} {inputs}→{hidden}"
    text += f", {len(nodes)} layers" if len(nodes) > 1 else ""
    text += ", int8" if is_quantised else ""
    return text if way == "forward" else f"{text}, {way}"


def _linear(node: onnx.NodeProto, shapes: Shapes) -> str:
    if node.op_type == "MatMulNBits":
        sizes = f"{attribute(node, 'K', '?')}→{attribute(node, 'N', '?')}"
        return f" {sizes}, {attribute(node, 'bits', 4)} bits"
    stored = [shapes[name] for name in node.input[:2] if len(shapes.get(name, ())) >= 2]
    if not stored:
        return ""
    rows, columns = stored[0][-2:]
    if node.input[0] in shapes or (node.op_type == "Gemm" and attribute(node, "transB", 0)):
        rows, columns = columns, rows
    return f" {rows}→{columns}{'' if node.op_type in ('MatMul', 'Gemm') else ', int8'}"


def _convolution(node: onnx.NodeProto, shapes: Shapes) -> str:
    weight = shapes.get(node.input[3 if node.op_type == "QLinearConv" else 1], ())
    if len(weight) < 3:
        return ""
    groups = attribute(node, "group", 1)
    groups = groups if isinstance(groups, int) else 1
    first, second = weight[0], weight[1] * groups
    sizes = f"{first}→{second}" if node.op_type == "ConvTranspose" else f"{second}→{first}"
    text = f"{len(weight) - 2}d {sizes}, kernel {_sizes(weight[2:])}"
    for name, key in (("stride", "strides"), ("dilation", "dilations")):
        values = attribute(node, key, [])
        if isinstance(values, list) and math.prod(values) > 1:
            text += f", {name} {_sizes(values)}"
    return f"{text}, {groups} groups" if groups > 1 else text


def _embedding(node: onnx.NodeProto, shapes: Shapes) -> str:
    return f" {_sizes(shapes[node.input[0]])}" if node.input[0] in shapes else ""


def _norm(node: onnx.NodeProto, shapes: Shapes) -> str:
    scale = shapes.get(node.input[1]) if len(node.input) > 1 else None
    return f" {_sizes(scale)}" if scale else ""


def _window(node: onnx.NodeProto, shapes: Shapes) -> str:
    kernel = attribute(node, "kernel_shape", [])
    return f" {_sizes(kernel)}" if isinstance(kernel, list) and kernel else ""


def _sizes(sizes: Sequence[int]) -> str:
    return "×".join(str(size) for size in sizes)
