"""A skip and the normalisation behind it; tests are named after the rules of `skip_norms.py`."""

import pytest
from graphs import after, assert_same, graph, kinds, weights

from rnnedge_exporters.optimize import use_skip_norms

TEXT = """g (float[batch, 2, 4] x, float[batch, 2, 4] z) => (float[batch, 2, 4] y) {
    a = Tanh (x)
    s = Add (a, z)
    y = LayerNormalization <axis = -1, epsilon = 0.01> (s, scale, bias) }"""


def fused(text=TEXT):
    before = graph(text, scale=weights(4), bias=weights(4, seed=2))
    now = after(before, use_skip_norms)
    assert_same(before, now)
    return kinds(now)


def test_a_sum_and_its_normalisation_are_one_operator():
    assert fused() == ["SkipLayerNormalization", "Tanh"]


def test_the_sum_is_given_where_others_read_it():
    text = TEXT.replace("y = Layer", "n = Layer").replace("bias) }", "bias)\n y = Mul (n, s) }")
    assert fused(text) == ["Mul", "SkipLayerNormalization", "Tanh"]
    shown = TEXT.replace("=> (", "=> (float[batch, 2, 4] s, ")
    assert fused(shown) == ["SkipLayerNormalization", "Tanh"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("float[batch, 2, 4] z", "float[1, 2, 4] z"),
        ("Add (a, z)", "Mul (a, z)"),
        ("float[batch, 2, 4] ", "float[batch, 2, 3, 4] "),
    ],
    ids=["repeated", "a product", "more axes"],
)
def test_only_two_tensors_of_one_shape_rows_or_sequences(old, new):
    assert "LayerNormalization" in fused(TEXT.replace(old, new))
