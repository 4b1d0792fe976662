"""Pass: weights stored as float16; arithmetic stays float32.

Rules:
    1. A stored array of floats is rounded to float16 and made float32 again by a ``Cast``, which
       onnxruntime computes once, when it loads the file. Half the bytes; no faster, no slower.
    2. An array that does not fit float16 (beyond 65504), or a small one, stays.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def store_halves(graph: ir.Graph, least: int) -> None:
    """Edits `graph` in place; arrays of fewer than `least` numbers stay."""
    largest = float(np.finfo(np.float16).max)
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < least:
            continue
        array = tensor.numpy()
        if not np.abs(array).max() <= largest:
            continue
        name = f"{value.name}.float16"
        half = ir.tensor(array.astype(np.float16), name=name)
        stored = ir.Value(name=name, shape=ir.Shape(array.shape), const_value=half)
        stored.type = ir.TensorType(ir.DataType.FLOAT16)
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT})
        cast.name, cast.outputs[0].name = f"{value.name}.float32", str(value.name)
        cast.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        ir.convenience.replace_all_uses_with(value, cast.outputs[0], replace_graph_outputs=True)
        graph.initializers.pop(str(value.name))
        graph.register_initializer(stored)
        graph.insert_before(graph[0], cast)
