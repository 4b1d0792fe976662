"""Axes of size 1 are gone; tests are named after the rules of `unit_axes.py` and its operators."""

import numpy as np
import pytest
from graphs import after, assert_same, graph, kinds, weights

from rnnedge_exporters.optimize import drop_unit_axes

AXES = {
    "one": np.array([1]),
    "two": np.array([2]),
    "last": np.array([-1]),
    "end": np.array([2**62]),
}
BIAS, MATRIX, ROW = weights(4), weights(4, 4, seed=2), np.array([-1, 1, 4])


def dropped(text, *, expected, **constants):
    before = graph(text, **constants)
    now = after(before, drop_unit_axes)
    assert_same(before, now)
    assert kinds(now) == sorted(expected)


def test_what_only_gives_another_shape_is_no_node():
    dropped(
        """g (float[batch, 1, 4] x) => (float[batch, 4] y) {
        a = Transpose <perm = [1, 0, 2]> (x)
        b = Squeeze (a, zero)
        c = Unsqueeze (b, one)
        d = Reshape (c, row)
        e = Transpose <perm = [0, 2, 1]> (d)
        f = Gather <axis = 2> (e, first)
        g = Slice (f, zero, end, one)
        y = Tanh (g) }""",
        expected=["Reshape", "Tanh"],
        zero=np.array([0]),
        first=np.array(0),
        row=ROW,
        one=AXES["one"],
        end=AXES["end"],
    )


def test_a_transpose_that_moves_more_stays_one():
    dropped(
        """g (float[batch, 3, 1, 4] x) => (float[4, 3, batch] y) {
        a = Transpose <perm = [3, 2, 1, 0]> (x)
        b = Squeeze (a, one)
        c = Transpose <perm = [2, 1, 0]> (b)
        d = Unsqueeze (c, one)
        e = Squeeze (d, one)
        y = Transpose <perm = [2, 1, 0]> (e) }""",
        expected=["Reshape", "Transpose", "Transpose", "Transpose"],
        one=AXES["one"],
    )


def test_numbers_that_are_broadcast_meet_the_same_axes():
    dropped(
        """g (float[batch, 1, 4] x, float[batch, 3, 1, 1] z) => (float[batch, 3, 1, 4] y) {
        a = Unsqueeze (x, one)
        b = Add (a, z)
        c = Mul (b, slope)
        d = Transpose <perm = [0, 2, 1, 3]> (c)
        e = Transpose <perm = [0, 2, 1, 3]> (d)
        y = Add (e, bias) }""",
        expected=["Reshape", "Reshape", "Add", "Mul", "Add"],
        slope=weights(3, 1, 1),
        bias=BIAS,
        one=AXES["one"],
    )


@pytest.mark.parametrize(
    ("line", "sizes", "more"),
    [
        ("Concat <axis = 2> (b, b)", "1, 8", []),
        ("Concat <axis = 1> (b, b)", "2, 4", []),
        ("Softmax <axis = -1> (b)", "1, 4", []),
        ("ReduceSum <keepdims = 1> (b, two)", "1, 1", ["Reshape"]),
        ("ReduceMean <keepdims = 1> (b, one)", "1, 4", ["Reshape"]),
        ("Slice (b, one, end, two)", "1, 3", []),
        ("LayerNormalization <axis = -1> (b, bias, bias)", "1, 4", []),
    ],
)
def test_what_works_along_an_axis_keeps_that_axis(line, sizes, more):
    dropped(
        f"""g (float[batch, 1, 4] x) => (float[batch, {sizes}] y) {{
        a = Transpose <perm = [1, 0, 2]> (x)
        b = Transpose <perm = [1, 0, 2]> (a)
        y = {line} }}""",
        expected=[line.split()[0], *more],
        bias=BIAS,
        one=AXES["one"],
        two=AXES["two"],
        end=AXES["end"],
    )


def test_parts_of_what_is_divided_keep_their_order():
    dropped(
        """g (float[batch, 1, 6] x) => (float[batch, 2, 1] y, float[batch, 1, 2] z) {
        a = Transpose <perm = [0, 2, 1]> (x)
        y, b, c = Split <axis = 1, num_outputs = 3> (a)
        d = Transpose <perm = [0, 2, 1]> (b)
        e = Transpose <perm = [0, 2, 1]> (c)
        z = Sub (d, e) }""",
        expected=["Reshape", "Split", "Sub", "Reshape"],
    )


def test_a_product_with_weights_and_its_bias_are_one_gemm():
    dropped(
        """g (float[batch, 1, 4] x) => (float[batch, 1, 4] y) {
        a = MatMul (x, w)
        b = Add (bias, a)
        c = Tanh (b)
        d = MatMul (c, w)
        e = Add (d, bias)
        f = MatMul (e, w)
        y = Add (f, bias) }""",
        expected=["Gemm", "Gemm", "Gemm", "Reshape", "Reshape", "Tanh"],
        w=MATRIX,
        bias=BIAS,
    )


@pytest.mark.parametrize("place", ["BEFORE", "AFTER"])
def test_a_product_that_others_read_gets_its_bias_later(place):
    text = """g (float[batch, 1, 4] x) => (float[batch, 1, 4] y, float[batch, 1, 4] z) {
        a = MatMul (x, w)
        BEFORE
        b = Add (a, bias)
        c = Transpose <perm = [1, 0, 2]> (b)
        y = Transpose <perm = [1, 0, 2]> (c)
        AFTER }""".replace(place, "z = Neg (a)")
    text = text.replace("BEFORE", "").replace("AFTER", "")
    dropped(text, expected=["Add", "MatMul", "Neg"], w=MATRIX, bias=BIAS)


def test_rows_are_gathered_by_an_index_that_lost_its_axis():
    dropped(
        """g (int64[batch, 1] x) => (float[batch, 4] y) {
        a = Gather (table, x)
        b = Transpose <perm = [1, 0, 2]> (a)
        c = Squeeze (b, zero)
        y = Neg (c) }""",
        expected=["Gather", "Reshape", "Neg"],
        table=weights(5, 4),
        zero=np.array([0]),
    )


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_layers_output_of_a_single_frame_is_its_state_after_it(direction):
    count = 1 if direction == "forward" else 2
    text = f"""g (float[batch, 1, 3] x, float[{count}, batch, 4] h)
        => (float[batch, 1, {4 * count}] y, float[{count}, batch, 4] after) {{
        f = Squeeze (x, one)
        a = Unsqueeze (f, zero)
        b, after = GRU <hidden_size = 4, linear_before_reset = 1, direction = "{direction}">
            (a, w, r, bias, , h)
        c = Transpose <perm = [2, 0, 1, 3]> (b)
        y = Reshape (c, rows) }}"""
    before = graph(
        text,
        w=weights(count, 12, 3),
        r=weights(count, 12, 4),
        bias=weights(count, 24),
        rows=np.array([-1, 1, 4 * count]),
        zero=np.array([0]),
        one=AXES["one"],
    )
    now = after(before, drop_unit_axes)
    assert_same(before, now)
    (layer,) = (node for node in now.graph.node if node.op_type == "GRU")
    assert not layer.output[0]


def test_the_end_of_what_was_joined_is_what_was_joined_last():
    dropped(
        """g (float[batch, 3, 1, 5] x, float[batch, 3, 1, 5] past)
            => (float[batch, 3, 1, 5] next, float[batch, 3, 1, 5] y) {
        b = Tanh (x)
        a = Concat <axis = 2> (past, b)
        next = Slice (a, last, end, two, one)
        c = Conv <kernel_shape = [2, 3], pads = [0, 1, 0, 1]> (a, w)
        d = Transpose <perm = [0, 2, 1, 3]> (c)
        y = Transpose <perm = [0, 2, 1, 3]> (d) }""",
        expected=["Concat", "Conv", "Reshape", "Reshape", "Tanh"],
        w=weights(3, 3, 2, 3),
        one=AXES["one"],
        two=AXES["two"],
        last=AXES["last"],
        end=AXES["end"],
    )


def test_one_of_what_was_joined_is_that():
    dropped(
        """g (float[batch, 4] x, float[batch, 4] z) => (float[batch, 4] y) {
        a = Unsqueeze (x, last)
        b = Unsqueeze (z, last)
        c = Concat <axis = -1> (a, b)
        d = Gather <axis = 2> (c, zero)
        e = Gather <axis = 2> (c, first)
        y = Sub (d, e) }""",
        expected=["Sub"],
        zero=np.array(0),
        first=np.array(1),
        last=AXES["last"],
    )


def test_sizes_that_depend_on_more_than_the_batch_are_left_alone():
    text = """g (float[batch, time, 1, 4] x) => (float[batch, time, 4] y) {
        a = Transpose <perm = [0, 1, 3, 2]> (x)
        b = Transpose <perm = [0, 1, 3, 2]> (a)
        y = Squeeze (b, two) }"""
    before = graph(text, two=AXES["two"])
    now = after(before, drop_unit_axes)
    assert kinds(now) == kinds(before)


def test_a_graph_that_would_not_get_smaller_is_left_as_it_was():
    before = graph(
        "g (float[batch, 1, 4] x) => (float[batch, 1, 4] y) { y = MatMul (x, w) }", w=MATRIX
    )
    assert kinds(after(before, drop_unit_axes)) == ["MatMul"]


def test_a_choice_whose_condition_is_known_is_what_it_chooses():
    dropped(
        """g (float[batch, 4] x) => (float[batch, 4] y) {
        a = Where (no, minus, x)
        b = Where (some, minus, a)
        y = Neg (b) }""",
        expected=["Where", "Neg"],
        no=np.zeros((1, 4), bool),
        some=np.array([[True, False, False, True]]),
        minus=np.array(-1, np.float32),
    )


def test_a_whole_number_to_which_zero_is_added_stays_what_it_is():
    dropped(
        """g (int64[batch] x) => (int64[batch] y) {
        a = Add (x, zero)
        b = Add (a, some)
        y = Neg (b) }""",
        expected=["Add", "Neg"],
        zero=np.array([0]),
        some=np.array([3]),
    )
