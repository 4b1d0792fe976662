"""Multiply-adds and weight traffic per frame, against counts made independently."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from rnnedge.report.cost import cost_per_frame
from rnnedge_runtime.contract import Contract, Port

FLOAT = TensorProto.FLOAT
OPSETS = [helper.make_opsetid("", 22), helper.make_opsetid("other", 1)]


def torch_multiply_adds(module: torch.nn.Module, *inputs: torch.Tensor) -> int:
    """By PyTorch's own counter, for which a multiply-add is two operations."""
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops() // 2


def model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    x: list[Any],
    y: list[Any] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, x)],
        [helper.make_tensor_value_info("y", FLOAT, y)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    built = helper.make_model(graph, opset_imports=OPSETS, ir_version=10)
    onnx.checker.check_model(built)
    return built


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_a_linear_layer_counts_as_pytorch_counts_it() -> None:
    built = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": zeros(80, 24)},
        ["batch", "time", 80],
        ["batch", "time", 24],
    )
    expected = torch_multiply_adds(torch.nn.Linear(80, 24), torch.zeros(1, 1, 80))
    assert cost_per_frame(built, None).multiply_adds == expected == 80 * 24


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_counts_as_pytorch_counts_it(transposed) -> None:
    built = model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=transposed)],
        {"w": zeros(80, 24), "b": zeros(24)},
        [80, "batch"] if transposed else ["batch", 80],
        ["batch", 24],
    )
    expected = torch_multiply_adds(torch.nn.Linear(80, 24), torch.zeros(1, 80))
    assert cost_per_frame(built, None).multiply_adds == expected


@pytest.mark.parametrize(("groups", "dilation"), [(1, 1), (4, 1), (1, 3)])
def test_a_convolution_counts_as_pytorch_counts_it(groups, dilation) -> None:
    layer = torch.nn.Conv1d(8, 12, 5, groups=groups, dilation=dilation)
    frames = 4 * dilation + 3
    built = model(
        [helper.make_node("Conv", ["x", "w"], ["y"], group=groups, dilations=[dilation])],
        {"w": zeros(12, 8 // groups, 5)},
        [1, 8, frames],
        [1, 12, "out"],
    )
    expected = torch_multiply_adds(layer, torch.zeros(1, 8, frames))
    assert cost_per_frame(built, None).multiply_adds == expected == 3 * 12 * 8 // groups * 5


def test_a_transposed_convolution_counts_as_pytorch_counts_it() -> None:
    layer = torch.nn.ConvTranspose1d(8, 12, 4, stride=2)
    built = model(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2])],
        {"w": zeros(8, 12, 4)},
        [1, 8, 3],
        [1, 12, "out"],
    )
    expected = torch_multiply_adds(layer, torch.zeros(1, 8, 3))
    assert cost_per_frame(built, None).multiply_adds == expected


@pytest.mark.parametrize(("op", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_recurrent_layer_counts_gates_times_hidden_times_what_it_sees(
    op, gates, direction
) -> None:
    inputs, hidden, ways = 16, 32, 2 if direction == "bidirectional" else 1
    built = model(
        [helper.make_node(op, ["x", "W", "R"], ["y"], hidden_size=hidden, direction=direction)],
        {"W": zeros(ways, gates * hidden, inputs), "R": zeros(ways, gates * hidden, hidden)},
        ["time", "batch", inputs],
        ["time", ways, "batch", hidden],
    )
    cost = cost_per_frame(built, None)
    assert cost.multiply_adds == ways * gates * hidden * (inputs + hidden)
    assert cost.weight_bytes == 4 * cost.multiply_adds  # float32, each read once


def test_recurrence_over_another_axis_counts_every_step() -> None:
    bands = 33
    built = model(
        [helper.make_node("GRU", ["x", "W", "R"], ["y"], hidden_size=4)],
        {"W": zeros(1, 12, 2), "R": zeros(1, 12, 4)},
        [bands, "time", 2],
        [bands, 1, "time", 4],
    )
    cost = cost_per_frame(built, None)
    assert cost.multiply_adds == bands * 12 * 6
    assert cost.weight_bytes == 4 * 12 * 6  # read once per run all the same


def test_a_strided_model_is_counted_over_whole_output_frames() -> None:
    built = model(
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[4])],
        {"w": zeros(6, 2, 4)},
        ["batch", 2, "time"],
        ["batch", 6, "out"],
    )
    contract = Contract(
        mode="stream",
        inputs=(Port("x", "float32", ("batch", 2, "time"), 0, 2),),
        outputs=(Port("y", "float32", ("batch", 6, "time"), 0, 2, ratio=Fraction(1, 4)),),
        chunk_multiple=4,
    )
    cost = cost_per_frame(built, contract)
    assert cost.frames == 4
    assert cost.multiply_adds == 6 * 2 * 4 / 4
    assert cost.weight_bytes == 4 * 6 * 2 * 4 / 4


def test_an_embedding_reads_only_the_rows_that_are_looked_up() -> None:
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["batch", "time"])],
        [helper.make_tensor_value_info("y", FLOAT, ["batch", "time", 16])],
        [numpy_helper.from_array(zeros(1000, 16), "table")],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    assert cost_per_frame(built, None).weight_bytes == 16 * 4


def test_the_body_of_a_scan_counts_once_per_frame() -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h_in", "w"], ["moved"]),
            helper.make_node("Add", ["moved", "x_t"], ["h_out"]),
            helper.make_node("Identity", ["h_out"], ["y_t"]),
        ],
        "step",
        [helper.make_tensor_value_info(name, FLOAT, ["batch", 8]) for name in ("h_in", "x_t")],
        [helper.make_tensor_value_info(name, FLOAT, ["batch", 8]) for name in ("h_out", "y_t")],
    )
    scan = helper.make_node("Scan", ["h", "x"], ["h.next", "y"], body=body, num_scan_inputs=1)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [scan],
        "graph",
        [info("x", FLOAT, ["time", "batch", 8]), info("h", FLOAT, ["batch", 8])],
        [info("y", FLOAT, ["time", "batch", 8]), info("h.next", FLOAT, ["batch", 8])],
        [numpy_helper.from_array(zeros(8, 8), "w")],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(built, full_check=True)
    cost = cost_per_frame(built, None)
    assert (cost.multiply_adds, cost.not_counted) == (64, ())
    assert cost.weight_bytes == 4 * 64


def test_what_cannot_be_counted_is_named_not_guessed() -> None:
    built = model(
        [
            helper.make_node("Custom", ["x"], ["unknown"], domain="other"),
            helper.make_node("MatMul", ["unknown", "w"], ["y"], name="late"),
        ],
        {"w": zeros(4, 4)},
        ["batch", 4],
        ["batch", 4],
    )
    cost = cost_per_frame(built, None)
    assert cost.not_counted == ("MatMul late",)


def test_counting_leaves_the_model_as_it_is() -> None:
    built = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": zeros(3, 3)}, ["batch", 3], [1, 3]
    )
    before = built.SerializeToString()
    cost_per_frame(built, None)
    assert built.SerializeToString() == before


def test_shapes_go_through_operators_that_onnx_does_not_know() -> None:
    own = "com.microsoft"
    nodes = [
        helper.make_node("CausalConvWithState", ["x", "k", "", "p"], ["a", "next"], domain=own),
        helper.make_node("SkipLayerNormalization", ["a", "x", "s"], ["b", "", "", "c"], domain=own),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    weights = {"k": zeros(6, 1, 4), "p": zeros(1, 6, 3), "s": zeros(5), "w": zeros(5, 7)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", 6, 5])],
        [helper.make_tensor_value_info("y", FLOAT, ["batch", 6, 7])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    built = helper.make_model(graph, opset_imports=[*OPSETS, helper.make_opsetid(own, 1)])
    cost = cost_per_frame(built, None)
    assert cost.multiply_adds == 6 * 5 * 4 + 6 * 5 * 7
    assert not cost.not_counted
    assert cost.weight_bytes == 4 * (6 * 4 + 1 * 6 * 3 + 5 + 5 * 7)
