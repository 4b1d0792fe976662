"""The worked example of docs/contract.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from rnnedge_runtime import load
from rnnedge_runtime.contract import METADATA_KEY, read

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


@pytest.fixture(scope="module")
def model(make):
    """The page's contract and base64, over a graph that sums."""
    page = PAGE.read_text(encoding="utf-8")
    text = re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]
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
    missing = {name for name in fields if f"`{name}`" not in page and f'"{name}"' not in page}
    assert not missing
