"""The worked examples of docs/contract.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from rnnedge_runtime import InputError, load
from rnnedge_runtime.contract import METADATA_KEY, read

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


@pytest.fixture(scope="module")
def model(make):
    """The page's second contract and base64, over a graph that sums."""
    page = PAGE.read_text(encoding="utf-8")
    text = re.findall(r"```json\n(.*?)```", page, re.DOTALL)[1]
    key, value = re.search(
        r'`metadata_props\["(rnnedge\.tensor[^"]+)"\]` is `([^`]+)`', page
    ).groups()
    nodes = make.sum_nodes()
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [f"sum.{name}" if name.startswith("total") else name for name in names]
    data = make.file(read(text), nodes, make.sum_constants())
    file = onnx.load_from_string(data)
    helper.set_model_props(file, {METADATA_KEY: text, key: value})
    return load(file.SerializeToString())


@pytest.fixture(scope="module")
def difference(make):
    """The page's first contract, over a graph that subtracts."""
    page = PAGE.read_text(encoding="utf-8")
    contract = read(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    nodes = [
        make.node("Concat", ["context", "x"], ["all"], axis=1),
        make.node("Slice", ["all", "zero", "minus", "one"], ["before"]),
        make.node("Slice", ["all", "minus", "far", "one"], ["context.next"]),
        make.node("Sub", ["before", "x"], ["y"]),
    ]
    constants = {"zero": [0], "minus": [-1], "far": [2**40], "one": [1]}
    return load(make.file(contract, nodes, {k: np.array(v) for k, v in constants.items()}))


def test_the_example_with_a_delay_does_what_the_page_says(difference):
    stream = difference.stream()
    assert stream.push(np.array([[5, 3, 8]], np.float32)).tolist() == [[0, 2]]
    assert stream.state["context"].tolist() == [[3]]
    assert stream.push(np.array([[1, 1]], np.float32)).tolist() == [[-5, 7]]
    assert stream.state["context"].tolist() == [[1]]
    assert stream.flush().tolist() == [[0, 1]]
    with pytest.raises(InputError, match="the signal has been ended"):
        stream.push(np.array([[1]], np.float32))
    whole = difference.run(np.array([[5, 3, 8, 1, 1]], np.float32)).outputs["y"]
    assert whole.tolist() == [[2, -5, 7, 0, 1]]


def test_the_worked_example_does_what_the_page_says(model):
    stream = model.stream(batch=2)
    assert stream.state["sum.total"].tolist() == [[1, 2], [1, 2]]
    y = stream.push(np.array([[[1, 1], [1, 1]], [[0, 0], [5, 5]]], np.float32))
    assert y.tolist() == [[[2, 3], [3, 4]], [[1, 2], [6, 7]]]
    assert stream.state["sum.total"].tolist() == [[3, 4], [6, 7]]
    assert stream.push(np.zeros((2, 0, 2), np.float32)).shape == (2, 0, 2)
    y = stream.push(np.array([[[1, 0]], [[0, 1]]], np.float32))
    assert y.tolist() == [[[4, 4]], [[6, 8]]]
    stream.reset(rows=[1])
    assert stream.state["sum.total"].tolist() == [[4, 4], [1, 2]]


def test_every_field_of_the_contract_is_on_the_page(model):
    page = PAGE.read_text(encoding="utf-8")
    fields = set(re.findall(r'"([a-z_]+)":', model.contract.to_json()))
    fields |= {"sample_rate_hz", "hop_samples", "window_samples", "fill", "tensor"}
    fields |= {"position", "length"}
    missing = {name for name in fields if f"`{name}`" not in page and f'"{name}"' not in page}
    assert not missing
