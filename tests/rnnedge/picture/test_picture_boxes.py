"""Which nodes make one box of a picture, and what is written in it."""

from __future__ import annotations

import pytest


def test_a_leaf_module_is_one_box_with_its_main_operator_and_size(net, boxes, edges) -> None:
    net.output(net.linear("head", net.linear("enc", "x", 8, 16), 16, 4), "y", "batch", "time", 4)
    assert boxes(net.picture()) == ["enc: Linear 8→16", "head: Linear 16→4"]
    assert edges(net.picture()) == ["enc -> head", "head -> y", "x -> enc"]


def test_layers_of_one_module_are_one_box(net, boxes) -> None:
    net.output(
        net.gru("gru", net.gru("gru", "x", 8, 16, "_1"), 16, 16, "_2"), "y", "batch", "time", 16
    )
    assert boxes(net.picture()) == ["gru: GRU 8→16, 2 layers"]


def test_plumbing_is_in_no_box(net, boxes, edges) -> None:
    x = net.add("front/Transpose", "x", perm=[0, 2, 1])
    x = net.add("/Reshape", net.add("/Cast", x, to=1), "shape")
    x = net.add("/Slice", net.linear("enc", x), "from", "to")
    net.output(net.add("/ReduceMean", x), "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["enc: Linear 8→8"]
    assert edges(net.picture()) == ["enc -> y", "x -> enc"]


def test_plumbing_that_modules_share_joins_them_not(net, edges) -> None:
    x = net.add("left/Transpose", "x", perm=[1, 0, 2])
    both = net.add("/Add", net.linear("left", x), net.linear("right", x))
    net.output(both, "y", "batch", "time", 8)
    assert edges(net.picture()) == [
        "Add -> y", "left -> Add", "right -> Add", "x -> left", "x -> right",
    ]  # fmt: skip


def test_constants_that_modules_share_join_them_not(net, edges) -> None:
    scale = net.add("left/Add_7", net.weight(8), net.weight(8))
    left = net.linear("left", net.add("left/Mul", "x", scale))
    right = net.linear("right", net.add("right/Mul", "x", scale))
    net.output(net.add("/Add_9", left, right), "y", "batch", "time", 8)
    assert "left -> right" not in edges(net.picture())


def test_sizes_read_from_a_tensor_are_no_data(net, edges) -> None:
    enc = net.linear("enc", "x")
    rows = net.add("/Gather", net.add("/Shape", enc), net.weight(1))
    head = net.linear("head", net.add("/Div", "x", rows))
    net.output(net.add("/Concat", enc, head, axis=2), "y", "batch", "time", 16)
    assert "x -> head" in edges(net.picture())  # and no box where it is divided


@pytest.mark.parametrize(
    ("operator", "word"), [("Add", "Add"), ("Mul", "Multiply"), ("Concat", "Concatenate")]
)
def test_a_join_of_branches_is_a_box(net, boxes, edges, operator, word) -> None:
    more = {"axis": 2} if operator == "Concat" else {}
    net.output(
        net.add(f"/{operator}", "x", net.linear("enc", "x"), **more), "y", "batch", "time", 8
    )
    assert boxes(net.picture()) == ["enc: Linear 8→8", word]
    assert f"x -> {word}" in edges(net.picture())
    assert f"enc -> {word}" in edges(net.picture())


def test_arithmetic_on_one_tensor_is_no_join(net, boxes) -> None:
    enc = net.linear("enc", "x")
    scaled = net.add("/Mul", enc, net.weight(1))
    net.output(net.add("/Add", scaled, net.add("/Sqrt", enc)), "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["enc: Linear 8→8"]


def test_an_attention_product_of_a_parent_is_a_box(net, boxes) -> None:
    q, k, v = (net.linear(f"attn.{name}", "x") for name in "qkv")
    keys = net.add("attn/Transpose", k, perm=[0, 2, 1])
    scores = net.add("attn/Softmax", net.add("attn/Mul", net.add("attn/MatMul", q, keys), "scale"))
    net.output(net.add("attn/MatMul_2", scores, v), "y", "batch", "time", 8)
    assert boxes(net.picture())[3:] == ["MatMul, Softmax", "MatMul"]


@pytest.mark.parametrize("path", ["", "act"])
def test_an_activation_is_a_word_on_the_box_before_it(net, boxes, path) -> None:
    net.output(net.add(f"{path}/Relu", net.linear("enc", "x")), "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["enc: Linear 8→8, ReLU"]


@pytest.mark.parametrize("path", ["", "act"])
def test_a_product_with_its_own_sigmoid_is_a_word_too(net, boxes, path) -> None:
    enc = net.linear("enc", "x")
    gate = net.add(f"{path}/Sigmoid", enc)
    net.output(net.add(f"{path}/Mul", enc, gate), "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["enc: Linear 8→8, SiLU"]


def test_an_activation_of_a_result_that_others_read_is_a_box(net, boxes, edges) -> None:
    enc = net.linear("enc", "x")
    moved = net.add("/Transpose", enc, perm=[1, 0, 2])  # the branching is before the plumbing
    net.output(net.add("/Add", net.add("act/Tanh", moved), enc), "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["enc: Linear 8→8", "act: Tanh", "Add"]
    assert "enc -> Add" in edges(net.picture())


def test_an_activation_of_the_input_is_a_box(net, boxes) -> None:
    net.output(net.add("/Relu", "x"), "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["ReLU"]


def test_a_module_called_twice_is_two_boxes_and_no_loop(net, boxes, edges) -> None:
    first = net.add("norm/LayerNormalization", "x", net.weight(8))
    second = net.add("norm/LayerNormalization_2", net.linear("enc", first), net.weight(8))
    net.output(second, "y", "batch", "time", 8)
    assert boxes(net.picture()) == [
        "norm: LayerNorm 8; call 1 of 2",
        "enc: Linear 8→8",
        "norm: LayerNorm 8; call 2 of 2",
    ]
    assert edges(net.picture()) == ["enc -> norm", "norm -> enc", "norm -> y", "x -> norm"]


def test_what_feeds_nothing_is_left_out(net, boxes) -> None:
    net.linear("spare", net.weight(1, 8))
    net.output(net.linear("enc", "x"), "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["enc: Linear 8→8"]


def test_names_of_the_older_exporter_are_understood(net, boxes) -> None:
    product = net.add("/encoder/fc/MatMul", "x", net.weight(8, 16))
    net.output(net.add("/encoder/fc/Add", product, net.weight(16)), "y", "batch", "time", 16)
    assert boxes(net.picture()) == ["encoder.fc: Linear 8→16"]


def test_ports_show_their_shape_and_of_outputs_what_is_unusual(net) -> None:
    net.output(net.linear("enc", "x"), "even", "batch", "time", 8)
    net.output("enc/Add", "late", "batch", "2*time", 8, ratio=2, delay=1)
    shown = {box.title: box.details for box in net.picture().boxes}
    assert shown["x"] == shown["even"] == ("float32[batch, time, 8]",)
    assert shown["late"] == (
        "float32[batch, 2*time, 8]", "2 frames out per frame in", "delay 1 frame",
    )  # fmt: skip
