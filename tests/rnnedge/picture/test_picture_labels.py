"""What a box says of its operator's size."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from rnnedge.report.picture.labels import describe, stored_shapes

NODES = {
    "Linear 8→16": ("MatMul", ["x", (8, 16)], {}),
    "Linear 16→8": ("Gemm", ["x", (8, 16), (8,)], {"transB": 1}),
    "Linear 8→32": ("Gemm", ["x", (8, 32), (32,)], {}),
    "Linear 4→6": ("MatMul", [(6, 4), "x"], {}),
    "Linear 8→16, int8": ("MatMulInteger", ["x", (8, 16)], {}),
    "Linear 64→32, 4 bits": ("MatMulNBits", ["x", (32, 2, 16)], {"K": 64, "N": 32, "bits": 4}),
    "MatMul": ("MatMul", ["x", "y"], {}),
    "Conv1d 8→16, kernel 3": ("Conv", ["x", (16, 8, 3)], {}),
    "Conv2d 8→16, kernel 3×5, stride 1×2, dilation 2×1": (
        "Conv", ["x", (16, 8, 3, 5)], {"strides": [1, 2], "dilations": [2, 1]},
    ),
    "Conv1d 8→8, kernel 3, 8 groups": ("Conv", ["x", (8, 1, 3)], {"group": 8}),
    "ConvTranspose1d 8→4, kernel 4, stride 2": (
        "ConvTranspose", ["x", (8, 4, 4)], {"strides": [2]},
    ),
    "LSTM 8→16": ("LSTM", ["x", (1, 64, 8), (1, 64, 16)], {"hidden_size": 16}),
    "GRU 8→2×16, bidirectional": (
        "GRU", ["x", (2, 48, 8), (2, 48, 16)], {"hidden_size": 16, "direction": "bidirectional"},
    ),
    "RNN 8→16, reverse": (
        "RNN", ["x", (1, 16, 8), (1, 16, 16)], {"hidden_size": 16, "direction": "reverse"},
    ),
    "LSTM 8→16, int8": ("DynamicQuantizeLSTM", ["x", (1, 8, 64)], {"hidden_size": 16}),
    "Embedding 99×64": ("Gather", [(99, 64), "x"], {}),
    "LayerNorm 64": ("LayerNormalization", ["x", (64,)], {}),
    "MaxPool 2×2": ("MaxPool", ["x"], {"kernel_shape": [2, 2]}),
    "Scan": ("Scan", ["x"], {}),
    "Unheard": ("Unheard", ["x"], {}),
}  # fmt: skip


@pytest.mark.parametrize("text", NODES)
def test_an_operator_is_called_as_people_do_and_shows_its_size(text) -> None:
    operator, inputs, attributes = NODES[text]
    names = [item if isinstance(item, str) else f"w{item}" for item in inputs]
    node = helper.make_node(operator, names, ["y"], **attributes)
    shapes = {f"w{item}": item for item in inputs if isinstance(item, tuple)}
    assert describe([node], shapes) == text


def test_the_main_operator_speaks_for_its_module() -> None:
    shapes = {"w": (8, 16), "k": (8, 8, 3), "n": (8,)}
    norm = helper.make_node("LayerNormalization", ["x", "n"], ["a"])
    linear = helper.make_node("MatMul", ["a", "w"], ["b"])
    conv = helper.make_node("Conv", ["b", "k"], ["c"])
    assert describe([norm, linear, conv], shapes) == "Conv1d 8→8, kernel 3"
    assert describe([norm, linear], shapes) == "Linear 8→16"
    assert describe([linear, linear, norm], shapes) == "2 times Linear 8→16"
    other = helper.make_node("MatMul", ["a", "u"], ["b"])
    assert describe([linear, other], shapes | {"u": (2, 3)}) == "2 Linear"


def test_weights_that_nodes_unpack_have_a_size_too() -> None:
    weight = helper.make_tensor("w", TensorProto.INT8, (16, 8), np.zeros(128, np.int8))
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["real"]),
        helper.make_node("Transpose", ["real"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [], [], [weight])
    assert describe(nodes, stored_shapes(graph)) == "Linear 8→16"
