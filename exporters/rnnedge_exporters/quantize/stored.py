"""Pass: weights stored as int8 and made float when the file is loaded; arithmetic stays float.

Rules:
    1. The operator stays as it is. Its weights have all of 8 bits, -127 to 127, and a step per
       channel; nothing is multiplied in integers, so nothing saturates.
    2. ``Cast`` and ``Mul`` make them float again. onnxruntime computes these once, when it loads
       the file: a quarter of the bytes on disk, the speed and memory of the float file.
    3. A channel is an axis over which nothing is added up: the first of a convolution and of a
       ``Gemm`` with its weights transposed, the second of a transposed convolution, the last of
       ``MatMul``, the gates of a recurrent layer (its second).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.quantize.arrays import stored
from rnnedge_exporters.quantize.writer import Writer

_LEVELS = 127
_RECURRENT = ("RNN", "GRU", "LSTM")


def to_stored(graph: ir.Graph, node: ir.Node) -> None:
    """Stores the weights of a layer in int8."""
    writer = Writer(graph, node, str(node.name))
    places = (1, 2) if node.op_type in _RECURRENT else (1,)
    for place in places:
        array = stored(node.inputs[place])
        assert array is not None  # noqa: S101 - it was planned so
        summed = _summed(node, array.ndim)
        scale = np.abs(array).max(axis=summed, keepdims=True) / _LEVELS
        scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
        whole = writer.constant(f"int8_{place}", np.rint(array / scale).astype(np.int8))
        floats = writer.one("Cast", whole, to=ir.DataType.FLOAT)
        step = writer.constant(f"int8_{place}.scale", scale)
        node.replace_input_with(place, writer.one("Mul", floats, step))


def _summed(node: ir.Node, axes: int) -> tuple[int, ...]:
    """The axes that a channel's weights lie along."""
    if node.op_type in _RECURRENT:
        return (2,)
    if node.op_type == "Conv":
        return tuple(range(1, axes))
    if node.op_type == "ConvTranspose":
        return (0, *range(2, axes))
    is_rows = node.op_type == "Gemm" and bool(node.attributes.get_int("transB", 0))
    return (1,) if is_rows else (0,)
