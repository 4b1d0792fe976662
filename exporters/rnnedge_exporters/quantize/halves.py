"""Pass: weights stored as float16; arithmetic stays float32.

Rules:
    1. A stored array of floats is rounded to float16 and made float32 again by a ``Cast``, which
       onnxruntime computes once, when it loads the file. Half the bytes; no faster, no slower.
    2. Weights that do not fit float16 (beyond 65504), and vectors, stay.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.quantize.arrays import stored
from rnnedge_exporters.quantize.writer import Writer


def store_halves(graph: ir.Graph, node: ir.Node) -> None:
    """Stores the weights of a layer in float16."""
    writer = Writer(graph, node, str(node.name))
    largest = float(np.finfo(np.float16).max)
    for place, value in enumerate(node.inputs):
        array = stored(value)
        if array is None or array.dtype != np.float32 or array.ndim < 2:
            continue
        if np.abs(array).max() <= largest:
            half = writer.constant(f"float16_{place}", array.astype(np.float16))
            node.replace_input_with(place, writer.one("Cast", half, to=ir.DataType.FLOAT))
