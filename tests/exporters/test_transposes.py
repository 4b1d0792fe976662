"""Two transpositions with a reshape between them become one, and compute the same."""

import copy

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from rnnedge_exporters.optimize import join_transposes

FOLDED = """
<ir_version: 10, opset_import: ["" : 22]>
g (float[batch, time, 3, 4] x) => (float[time, folded, 4] result)
<float[batch, 3, time, 4] a, float[folded, time, 4] b, float[time, folded, 4] y>
{
    a = Transpose <perm = [0, 2, 1, 3]> (x)
    size = Shape <start = 0, end = 1> (x)
    three = Constant <value = int64[1] {3}> ()
    rows = Mul (size, three)
    rest = Constant <value = int64[2] {-1, 4}> ()
    shape = Concat <axis = 0> (rows, rest)
    b = Reshape (a, shape)
    y = Transpose <perm = [1, 0, 2]> (b)
    result = Identity (y)
}
"""
UNFOLDED = """
<ir_version: 10, opset_import: ["" : 22]>
g (float[time, folded, 4] x, float[batch] like) => (float[batch, time, 3, 4] result)
<float[folded, time, 4] a, float[folded, time, 4] e, float[batch, 3, time, 4] f,
 float[batch, time, 3, 4] y,
 float[4, 4] w = {1.0, 2.0, 0.5, 3.0, 1.0, 0.0, 2.0, 1.0, 0.0, 1.0, 4.0, 2.0, 1.0, 1.0, 2.0, 5.0},
 float[4] bias = {0.5, -1.0, 2.0, 1.0}, float[4] scale = {1.0, 2.0, 3.0, 0.5}>
{
    a = Transpose <perm = [1, 0, 2]> (x)
    b = MatMul (a, w)
    c = Add (b, bias)
    d = Tanh (c)
    e = LayerNormalization <axis = -1> (d, scale, bias)
    size = Shape <start = 0, end = 1> (like)
    rest = Constant <value = int64[3] {3, -1, 4}> ()
    shape = Concat <axis = 0> (size, rest)
    f = Reshape (e, shape)
    y = Transpose <perm = [0, 2, 1, 3]> (f)
    result = Identity (y)
}
"""


def parsed(text):
    """`folded` is three rows for each of the batch; the parser has no products."""
    model = onnx.parser.parse_model(text)
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == "folded":
                dim.dim_param = "3*batch"
    return model


def joined(model):
    """The model after the pass, and the number of its nodes by kind."""
    program = ir.from_proto(copy.deepcopy(model))
    join_transposes(program)
    after = ir.to_proto(program)
    onnx.checker.check_model(after)
    return after, [node.op_type for node in after.graph.node]


def same(before, after, feeds):
    (expected,) = ReferenceEvaluator(before).run(None, feeds)
    (got,) = ReferenceEvaluator(after).run(None, feeds)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (2, 5), (3, 1), (1, 4)])
def test_axes_are_put_in_their_last_order_and_merged_there(batch, time):
    before = parsed(FOLDED)
    after, kinds = joined(before)
    assert kinds == ["Transpose", "Reshape", "Identity"]
    x = np.random.default_rng(0).standard_normal((batch, time, 3, 4)).astype(np.float32)
    same(before, after, {"x": x})


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (2, 5), (3, 1), (1, 4)])
def test_axes_are_split_in_the_first_order_and_transposed_once(batch, time):
    before = parsed(UNFOLDED)
    after, kinds = joined(before)
    assert sorted(kinds) == sorted(
        ["MatMul", "Add", "Tanh", "LayerNormalization", "Reshape", "Transpose", "Identity"]
    )
    x = np.random.default_rng(0).standard_normal((time, 3 * batch, 4)).astype(np.float32)
    same(before, after, {"x": x, "like": np.zeros(batch, np.float32)})


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (FOLDED, "result = Identity (y)", "result = Identity (y)\n    more = Identity (b)"),
        (UNFOLDED, "Tanh (c)", "Softmax <axis = 1> (c)"),
        (UNFOLDED, "<axis = -1> (d", "<axis = 1> (d"),
        (FOLDED, "float[batch, 3, time, 4] a", "float[batch, 3, later, 4] a"),
    ],
    ids=["read elsewhere", "along another axis", "over two axes", "sizes that are not the same"],
)
def test_nothing_is_moved_where_it_would_not_be_the_same(text, old, new):
    assert old in text
    _, kinds = joined(parsed(text.replace(old, new)))
    assert kinds.count("Transpose") == 2
