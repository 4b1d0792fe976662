"""Sizes that are numbers; tests are named after the rules of `sizes.py`."""

import onnx_ir as ir
import pytest

from rnnedge_exporters.optimize import fix_sizes


def model(*dims, inner=()):
    x = ir.Value(name="x", shape=ir.Shape(dims), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.node("Relu", [x])
    node.outputs[0].shape = ir.Shape(inner or dims)
    return ir.Model(
        ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": 21}), ir_version=10
    )


def shapes(found):
    values = (*found.graph.inputs, *found.graph.outputs)
    return [[d.value if isinstance(d, ir.SymbolicDim) else d for d in v.shape] for v in values]


@pytest.mark.parametrize(
    ("axis", "frames", "inner", "expected"),
    [
        ("s7", 1, "s7 + 6", 7),
        ("160*s7", 160, "s7", 1),
        ("160*runs", 160, "((160*runs + 161)//160)", 2),
        ("s7", 1, "Max(1, s7 - 3)", 1),
    ],
)
def test_the_symbol_of_time_is_what_makes_the_axis_as_long_as_a_run(axis, frames, inner, expected):
    found = model("s1", ir.SymbolicDim(axis), inner=("s1", ir.SymbolicDim(inner)))
    fix_sizes(found, {"x": (1, frames)})
    assert shapes(found) == [["s1", frames], ["s1", expected]]


def test_the_batch_stays_a_symbol():
    found = model("s1", "s7", inner=("3*s1", "s1*s7"))
    fix_sizes(found, {"x": (1, 2)})
    assert shapes(found) == [["s1", 2], ["3*s1", "2*s1"]]


@pytest.mark.parametrize("text", ["unk__5", "a b", "s7 +"])
def test_a_size_that_cannot_be_read_stays_as_it_is(text):
    found = model("s1", "s7", inner=("s1", text))
    fix_sizes(found, {"x": (1, 2)})
    assert shapes(found)[1] == ["s1", text]
