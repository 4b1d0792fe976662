"""How much arithmetic and how much memory traffic one frame of a stream takes.

Counted from the shapes of the graph, at batch 1 and with the fewest frames that give a whole number
of output frames; nothing is run.

* Multiply-adds of MatMul, Gemm, Conv, ConvTranspose, RNN, GRU and LSTM, and of the quantised forms
  that onnxruntime has of them. A multiplication and the addition of its product count as one. Bias,
  activations and other element-wise work are not counted: they are a few percent.
* A body of Scan counts once per iteration, of If its dearer branch. A Loop, and nodes whose shapes
  cannot be inferred, are listed as not counted instead of guessed.
* Weight bytes: every weight that a node takes is read once per run; of an embedding table
  (Gather) only the rows that are looked up. At one frame per run that is memory traffic per frame,
  and it bounds the speed of a model that does not fit the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import onnx

from rnnedge.report.graph import (
    Tensors,
    all_tensors,
    attribute,
    bodies,
    byte_count,
    element_count,
    is_weight,
)
from rnnedge_runtime.contract import BATCH, TIME, Contract, Dim, dim_factor

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = dict[str, Shape]


@dataclass(frozen=True)
class Cost:
    """What one frame at batch 1 takes.

    Attributes:
        multiply_adds: per frame, of the operators that are counted.
        weight_bytes: read per frame when `frames` frames are pushed at a time.
        frames: the frames that were counted, and by which the sums were divided.
        not_counted: nodes that hold arithmetic that could not be counted.
    """

    multiply_adds: float
    weight_bytes: float
    frames: int
    not_counted: tuple[str, ...]


def cost_per_frame(model: onnx.ModelProto, contract: Contract | None) -> Cost:
    """Counts one frame of `model`, whose local functions are inlined.

    Args:
        model: is not changed.
        contract: says which axes are batch and time; without one every open axis counts as 1.
    """
    frames = _fewest_frames(contract)
    fixed = _with_sizes(model, contract, frames)
    count = _Count(all_tensors(fixed.graph))
    total = count.graph(fixed.graph, {})
    return Cost(
        multiply_adds=total / frames,
        weight_bytes=count.weight_bytes / frames,
        frames=frames,
        not_counted=tuple(dict.fromkeys(count.unknown)),
    )


def _fewest_frames(contract: Contract | None) -> int:
    if contract is None:
        return 1
    ratios = (port.ratio.denominator for port in contract.outputs)
    return math.lcm(contract.chunk_multiple, *ratios)


def _with_sizes(model: onnx.ModelProto, contract: Contract | None, frames: int) -> onnx.ModelProto:
    """A copy with every axis of the inputs fixed, and the shapes that follow from it."""
    declared = {} if contract is None else {p.name: p.shape for p in contract.inputs}
    if contract is not None:
        declared |= {state.input: state.shape for state in contract.states}
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]  # they still name the open axes
    for value in fixed.graph.input:
        dims = value.type.tensor_type.shape.dim
        for axis, dim in enumerate(dims):
            if value.name in declared:
                dim.dim_value = _size(declared[value.name][axis], frames)
            elif not dim.HasField("dim_value"):
                dim.dim_value = 1
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    return _inferred(fixed)


_SHAPED_LIKE = {"SkipLayerNormalization": (0, 0, 0, 0), "CausalConvWithState": (0, 3)}
"""Operators of onnxruntime's own: of which input each output has the shape. onnx knows neither."""


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the shapes of all values."""
    own = {node.output[0]: node for node in model.graph.node if node.op_type in _SHAPED_LIKE}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type in _SHAPED_LIKE:
            like = zip(node.output, _SHAPED_LIKE[node.op_type], strict=False)
            twins = [(node.input[place], output) for output, place in like if output]
            model.graph.node.extend(onnx.helper.make_node("Identity", [a], [b]) for a, b in twins)
        else:
            model.graph.node.append(node)
    found = onnx.shape_inference.infer_shapes(model, data_prop=True)
    stood_in = {output for node in own.values() for output in node.output}
    nodes = [
        own.get(node.output[0], node)
        for node in found.graph.node
        if node.output[0] in own or node.output[0] not in stood_in
    ]
    del found.graph.node[:]
    found.graph.node.extend(nodes)
    return found


def _size(dim: Dim, frames: int) -> int:
    if isinstance(dim, int):
        return dim
    return dim_factor(dim, BATCH) + frames * dim_factor(dim, TIME) or 1


@dataclass
class _Count:
    """Walks a graph and adds up; `unknown` collects what could not be counted."""

    tensors: Tensors
    weight_bytes: int = 0
    unknown: list[str] = field(default_factory=list)

    def graph(self, graph: onnx.GraphProto, outer: Shapes) -> int:
        """Multiply-adds of one run of `graph`; weight bytes add to the total."""
        shapes = outer | _shapes(graph)
        return sum(self._node(node, shapes) for node in graph.node)

    def _node(self, node: onnx.NodeProto, shapes: Shapes) -> int:
        self.weight_bytes += self._weights_read(node, shapes)
        inner = [self.graph(body, shapes) for body in bodies(node)]
        try:
            if inner:
                return max(inner) * _iterations(node, shapes)
            formula = _FORMULAS.get(node.op_type)
            return 0 if formula is None else formula(node, shapes)
        except KeyError:  # a shape that inference could not find
            self.unknown.append(f"{node.op_type} {node.name or node.output[0]}")
            return 0

    def _weights_read(self, node: onnx.NodeProto, shapes: Shapes) -> int:
        stored = [self.tensors[name] for name in node.input if name in self.tensors]
        stored = [tensor for tensor in stored if is_weight(tensor)]
        if node.op_type == "Gather" and stored and node.output[0] in shapes:
            element_bytes = byte_count(stored[0]) / max(element_count(stored[0]), 1)
            return round(math.prod(shapes[node.output[0]]) * element_bytes)
        return sum(byte_count(tensor) for tensor in stored)


def _shapes(graph: onnx.GraphProto) -> Shapes:
    shapes: Shapes = {name: tuple(tensor.dims) for name, tensor in all_tensors(graph).items()}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        dims = tensor.shape.dim
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def _iterations(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type == "If":
        return 1
    if node.op_type != "Scan":
        raise KeyError(node.op_type)
    scanned = attribute(node, "num_scan_inputs", 0)
    axes = attribute(node, "scan_input_axes", None)
    assert isinstance(scanned, int)  # noqa: S101 - the operator's schema says so
    axis = axes[0] if isinstance(axes, list) and axes else 0
    return shapes[node.input[len(node.input) - scanned]][axis]


def _matmul(node: onnx.NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _small_matmul(node: onnx.NodeProto, shapes: Shapes) -> int:
    # Integer weights are [inputs, channels]. Inference knows nothing of what comes out.
    return math.prod(shapes[node.input[0]]) * shapes[node.input[1]][1]


def _block_matmul(node: onnx.NodeProto, shapes: Shapes) -> int:
    # Weights are packed by block; their first axis is the channels.
    return math.prod(shapes[node.input[0]]) * shapes[node.input[1]][0]


def _small_conv(node: onnx.NodeProto, shapes: Shapes) -> int:
    # QLinearConv: x, its scale and zero point, then the weight.
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[3]][1:])


def _gemm(node: onnx.NodeProto, shapes: Shapes) -> int:
    inner = shapes[node.input[0]][0 if attribute(node, "transA", 0) else 1]
    return math.prod(shapes[node.output[0]]) * inner


def _conv(node: onnx.NodeProto, shapes: Shapes) -> int:
    # The weight is [out channels, in channels / groups, kernel...].
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _conv_transpose(node: onnx.NodeProto, shapes: Shapes) -> int:
    # The weight is [in channels, out channels / groups, kernel...]: each input element meets it.
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _recurrent(node: onnx.NodeProto, shapes: Shapes) -> int:
    # Every step of every row meets all of W and R, whose first axis is the directions.
    steps, rows = shapes[node.input[0]][:2]
    return steps * rows * sum(math.prod(shapes[name]) for name in node.input[1:3])


_FORMULAS: dict[str, Callable[[onnx.NodeProto, Shapes], int]] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "DynamicQuantizeMatMul": _small_matmul,
    "MatMulIntegerToFloat": _small_matmul,
    "MatMulNBits": _block_matmul,
    "QLinearConv": _small_conv,
    "Gemm": _gemm,
    "Conv": _conv,
    "ConvInteger": _conv,
    "CausalConvWithState": _conv,
    "ConvTranspose": _conv_transpose,
    "RNN": _recurrent,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "DynamicQuantizeLSTM": _recurrent,
}
