"""Depthwise convolutions with their context; named after the rules of `causal_convolutions.py`."""

import numpy as np
import pytest
from graphs import after, assert_same, graph, kinds, weights

from rnnedge_exporters.optimize import use_causal_convolutions

TEXT = """g (float[batch, 4, 5] x, float[batch, 4, 2] past)
    => (float[batch, 4, 5] y, float[batch, 4, 2] next) {
    a = Concat <axis = 2> (past, x)
    next = Slice (a, first, end, two, one)
    y = Conv <group = 4> (a, w, bias) }"""
NUMBERS = {"first": [-2], "end": [2**62], "two": [2], "one": [1]}


def fused(text=TEXT, kernel=(4, 1, 3)):
    numbers = {name: np.array(value) for name, value in NUMBERS.items()}
    before = graph(text, w=weights(*kernel), bias=weights(kernel[0]), **numbers)
    now = after(before, use_causal_convolutions)
    assert_same(before, now)
    return now


def test_context_convolution_and_next_context_are_one_operator():
    assert kinds(fused()) == ["CausalConvWithState"]


@pytest.mark.parametrize("between", ["c = Transpose <perm = [0, 1, 2]> (b)", ""])
def test_a_silu_behind_it_is_its_activation(between):
    read = "c" if between else "b"
    text = TEXT.replace("y = Conv", "b = Conv").replace(
        " }",
        f"""
    {between}
    d = Sigmoid ({read})
    e = Mul ({read}, d)
    y = Neg (e) }}""",
    )
    now = fused(text)
    assert "Sigmoid" not in kinds(now)
    (node,) = (n for n in now.graph.node if n.op_type == "CausalConvWithState")
    assert [a.s for a in node.attribute] == [b"silu"]


def test_what_multiplies_something_else_is_no_silu():
    text = TEXT.replace("y = Conv", "b = Conv").replace(
        " }", "\n    d = Sigmoid (b)\n    e = Mul (b, d)\n    y = Add (e, d) }"
    )
    assert "Sigmoid" in kinds(fused(text))


@pytest.mark.parametrize(
    ("old", "new", "kernel"),
    [
        ("group = 4", "group = 4, dilations = [2]", (4, 1, 2)),
        ("group = 4", "group = 4, strides = [2]", (4, 1, 3)),
        ("group = 4", "group = 4, pads = [0, 1]", (4, 1, 3)),
        ("group = 4", "group = 1", (4, 4, 3)),
        ("y = Conv", "z = Neg (a)\n    y = Conv", (4, 1, 3)),
    ],
    ids=["dilation", "strides", "padding", "not depthwise", "read elsewhere"],
)
def test_what_the_operator_does_not_have_stays_a_convolution(old, new, kernel):
    text = TEXT.replace(old, new)
    if "Neg" in text:
        text = text.replace("=> (", "=> (float[batch, 4, 7] z, ")
    if "strides" in text or "pads" in text or "dilations" in text:
        text = text.replace("float[batch, 4, 5] y", "float[batch, 4, later] y")
    assert "CausalConvWithState" not in kinds(fused(text, kernel))
