"""Shapes with named axes, as users write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnedge_exporters.errors import SpecError
from rnnedge_exporters.specs import parse_inputs, parse_tensor
from rnnedge_runtime.contract import DTYPES

_DIMS = st.permutations(["batch", "time", 1, 80, 257])


@given(dtype=st.sampled_from(DTYPES), dims=_DIMS)
def test_a_spec_reads_back_what_it_shows(dtype, dims):
    spec = parse_tensor(f"{dtype}[{', '.join(map(str, dims))}]", where="test")
    assert spec.dtype == dtype
    assert spec.shape == tuple(dims)
    assert parse_tensor(str(spec), where="test") == spec


def test_spaces_do_not_matter():
    tight = parse_inputs(["x:float32[batch,time,80]"])
    assert tight == parse_inputs(["  x :  float32 [ batch , time , 80 ] "])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x", "'x' names no argument of forward"),
        ("x: ", "is not a tensor specification"),
        ("x: float32", "'float32' is not a tensor specification"),
        ("x: float32(batch, time)", "is not a tensor specification"),
        ("x: float31[batch, time]", "unknown element type 'float31'"),
        ("x: float32[batch, tiem, 80]", "'tiem' is neither a size nor one of the axes"),
        ("x: float32[batch, time, 0]", "'0' is neither a size"),
        ("x: float32[batch, time, -1]", "'-1' is neither a size"),
        ("x: float32[time, time]", "'time' stands twice"),
    ],
)
def test_what_does_not_parse_is_told_with_an_example(text, what):
    with pytest.raises(SpecError, match=re.escape(what)) as error:
        parse_inputs([text])
    assert "float32[batch, time, 80]" in error.value.fix or "float32" in error.value.fix


def test_an_input_given_twice_is_refused():
    with pytest.raises(SpecError, match="'x' is given twice"):
        parse_inputs(["x: float32[batch, time]", "x: float32[batch, time]"])


def test_no_input_at_all_is_refused():
    with pytest.raises(SpecError, match="no input is given"):
        parse_inputs([])
