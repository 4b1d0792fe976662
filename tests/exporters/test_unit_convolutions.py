"""Convolutions of one frame; tests are named after the rules of `unit_convolutions.py`."""

import numpy as np
import pytest
from graphs import after, assert_same, graph, kinds, weights

from rnnedge_exporters.optimize import drop_unit_axes

PADDED = """g (float[batch, C, T, 7] x) => (float[batch, 6, 1, n] y) {
    a = Transpose <perm = [0, 1, 3, 2]> (x)
    b = Transpose <perm = [0, 1, 3, 2]> (a)
    e = Conv <ATTRIBUTES> (x, w, bias)
    c = Transpose <perm = [0, 2, 1, 3]> (e)
    d = Transpose <perm = [0, 2, 1, 3]> (c)
    f = Transpose <perm = [0, 2, 1, 3]> (d)
    g = Transpose <perm = [0, 2, 1, 3]> (f)
    y = Tanh (g) }"""


def convolved(channels, frames, kernel, attributes):
    text = PADDED.replace("C,", f"{channels},").replace("T,", f"{frames},")
    return graph(text.replace("ATTRIBUTES", attributes), w=kernel, bias=weights(6))


@pytest.mark.parametrize(
    ("channels", "frames", "kernel", "attributes", "more"),
    [
        (3, 2, (6, 3, 2, 3), "pads = [0, 1, 0, 1], strides = [1, 2]", []),
        (6, 3, (6, 1, 3, 1), "group = 6", []),
        (4, 3, (6, 2, 3, 3), "group = 2, dilations = [1, 2]", []),
        (6, 5, (6, 1, 3, 1), "group = 6, dilations = [2, 1]", ["Slice"]),
        (3, 9, (6, 3, 3, 3), "dilations = [4, 1]", ["Slice"]),
    ],
    ids=["over both", "depthwise", "grouped", "dilated depthwise", "dilated"],
)
def test_frames_of_a_window_are_further_channels(channels, frames, kernel, attributes, more):
    before = convolved(channels, frames, weights(*kernel), attributes)
    now = after(before, drop_unit_axes)
    assert_same(before, now)
    assert kinds(now) == sorted(["Conv", "Reshape", "Reshape", "Tanh", *more])
    (layer,) = (node for node in now.graph.node if node.op_type == "Conv")
    shape = {t.name: t.dims for t in now.graph.initializer}[layer.input[1]]
    assert list(shape) == [kernel[0], kernel[1] * kernel[2], kernel[3]]


@pytest.mark.parametrize(
    ("frames", "kernel", "attributes"),
    [(1, (6, 3, 2, 3), "pads = [1, 1, 0, 1]"), (3, (6, 3, 2, 3), "strides = [2, 1]")],
    ids=["padded", "not all of it"],
)
def test_a_window_that_is_not_all_of_the_input_stays_as_it_is(frames, kernel, attributes):
    before = convolved(3, frames, weights(*kernel), attributes)
    now = after(before, drop_unit_axes)
    assert_same(before, now)
    (layer,) = (node for node in now.graph.node if node.op_type == "Conv")
    assert layer.input[1] == "w"


@pytest.mark.parametrize("shape", [(1, 5), (4, 1)], ids=["one channel", "one frame"])
def test_a_convolution_that_leaves_no_other_axis_is_a_product(shape):
    text = f"""g (float[batch, {shape[0] * shape[1]}] x) => (float[batch, 6] y) {{
        a = Reshape (x, whole)
        b = Conv (a, w, bias)
        c = Transpose <perm = [2, 0, 1]> (b)
        y = Squeeze (c, first) }}"""
    before = graph(
        text,
        whole=np.array([-1, *shape]),
        w=weights(6, *shape),
        bias=weights(6),
        first=np.array([0]),
    )
    now = after(before, drop_unit_axes)
    assert_same(before, now)
    assert kinds(now) == ["Gemm"]


def test_a_transposed_convolution_of_one_frame_is_one_over_frequency():
    text = """g (float[batch, 3, 7] x) => (float[batch, 2, 13] y) {
        a = Unsqueeze (x, two)
        b = ConvTranspose <strides = [1, 2], pads = [0, 2, 0, 2]> (a, w, bias)
        y = Squeeze (b, two) }"""
    before = graph(text, w=weights(3, 2, 1, 5), bias=weights(2), two=np.array([2]))
    now = after(before, drop_unit_axes)
    assert_same(before, now)
    assert kinds(now) == ["ConvTranspose"]


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("pads", ["0, 0", "1, 0"])
def test_the_part_that_is_cut_out_of_overlapping_frames_is_a_product(outputs, pads):
    text = f"""g (float[batch, 3, 2] x) => (float[batch, {outputs}, 4] y) {{
        a = ConvTranspose <strides = [4], pads = [{pads}]> (x, w, bias)
        b = Slice (a, first, last, two, one)
        c = Unsqueeze (b, one)
        y = Squeeze (c, one) }}"""
    before = graph(
        text,
        w=weights(3, outputs, 8),
        bias=weights(outputs),
        first=np.array([4]),
        last=np.array([8]),
        two=np.array([2]),
        one=np.array([1]),
    )
    now = after(before, drop_unit_axes)
    assert_same(before, now)
    assert kinds(now) == ["Gemm", "Reshape", "Reshape"]


def test_overlapping_frames_whose_matrix_would_be_large_stay_a_convolution():
    text = """g (float[batch, 3, 9] x) => (float[batch, 1, 20] y) {
        a = ConvTranspose <strides = [4]> (x, w)
        b = Slice (a, first, last, two, one)
        c = Unsqueeze (b, one)
        y = Squeeze (c, one) }"""
    before = graph(
        text,
        w=weights(3, 1, 8),
        first=np.array([8]),
        last=np.array([28]),
        two=np.array([2]),
        one=np.array([1]),
    )
    now = after(before, drop_unit_axes)
    assert_same(before, now)
    assert "ConvTranspose" in kinds(now)
