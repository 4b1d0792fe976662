"""What an ONNX node is to a person: a step worth a box, an activation, a join, or plumbing."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from rnnedge.report.graph import bodies


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PLUMBING = _names("""
    Transpose Squeeze Unsqueeze Reshape Flatten Slice Split Cast CastLike Shape Size Expand Tile
    Identity Constant ConstantOfShape Range Gather GatherND GatherElements ScatterND
    ScatterElements Pad Dropout Trilu NonZero QuantizeLinear DequantizeLinear DynamicQuantizeLinear
    Equal Less LessOrEqual Greater GreaterOrEqual And Or Not Xor IsNaN IsInf
    Neg Abs Exp Log Sqrt Reciprocal Floor Ceil Round Sign Erf Sin Cos Mod Clip
    ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare
    ReduceLogSumExp
""")
"""Moves numbers around, or is arithmetic on one tensor."""

JOINS = _names("Add Sub Mul Div Concat Max Min Sum Mean Pow Where")
"""Worth a box where branches meet in it; arithmetic otherwise."""

ACTIVATIONS = {
    "Relu": "ReLU",
    "PRelu": "PReLU",
    "LeakyRelu": "LeakyReLU",
    "Elu": "ELU",
    "Selu": "SELU",
    "Celu": "CELU",
    "Gelu": "GELU",
    "Swish": "SiLU",
    "HardSwish": "Hardswish",
    "HardSigmoid": "Hardsigmoid",
    "LogSoftmax": "LogSoftmax",
} | {name: name for name in ("Sigmoid", "Tanh", "Softmax", "Softplus", "Softsign", "Mish")}
"""The name people use, by operator."""

_FIRST_INPUT_ONLY = _names("""
    Transpose Squeeze Unsqueeze Reshape Flatten Slice Split Cast CastLike Expand Tile Pad Clip
    Resize QuantizeLinear DequantizeLinear Trilu TopK Dropout
""")
_NO_DATA = _names("Shape Size Constant ConstantOfShape Range")
"""What these give is sizes and constants; no signal passes."""


def is_layer(node: onnx.NodeProto, stored: Collection[str]) -> bool:
    """Whether the node is worth a box by itself: a layer, or an operator that nobody has listed.

    Args:
        node: of the graph.
        stored: names of the tensors in the file; looking up in one of them is an embedding.
    """
    if node.op_type == "Gather":
        return node.input[0] in stored and node.input[1] not in stored
    return node.op_type not in PLUMBING | JOINS | ACTIVATIONS.keys()


def data_inputs(node: onnx.NodeProto) -> list[str]:
    """The inputs through which the signal comes in: not shapes, axes or ranges."""
    if node.op_type in _NO_DATA:
        return []
    if node.op_type in _FIRST_INPUT_ONLY or node.op_type.startswith("Reduce"):
        return list(node.input[:1])
    return [name for name in node.input if name] + [
        name for body in bodies(node) for name in _captured(body)
    ]


def module_path(node: onnx.NodeProto) -> str:
    """The module that a node was traced in, empty for the root or where the name does not say.

    ``encoder.gru/GRU`` is of ``encoder.gru``; so is ``/encoder/gru/GRU``, as PyTorch's older
    exporter writes it. A name without a slash is the node's own.
    """
    module, slash, _ = node.name.rpartition("/")
    return module.strip("/").replace("/", ".") if slash else node.name


def _captured(body: onnx.GraphProto) -> list[str]:
    """What a subgraph reads from the graph around it."""
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    own |= {name for node in body.node for name in node.output}
    read = [name for node in body.node for name in node.input if name]
    read += [name for node in body.node for inner in bodies(node) for name in _captured(inner)]
    return [name for name in dict.fromkeys(read) if name not in own]
