"""What docs/zoo.md says is so."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

import rnnedge
from rnnedge.zoo.catalogue import CATALOGUE
from rnnedge.zoo.gradients import EXPLODED, VANISHED

PAGE = (Path(__file__).parents[2] / "docs" / "zoo.md").read_text()


def test_the_table_has_every_layer_once_in_order():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [*CATALOGUE]


def test_the_thresholds_are_those_of_the_warnings():
    said = " ".join(PAGE.split())
    assert f"below 1e-4 of the last frame's) or *explodes* (it is above {EXPLODED:g} times" in said
    assert VANISHED == 1e-4


@pytest.mark.slow
def test_the_recurrence_of_ones_own_is_exported_and_proven(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "leaky.py"
    file.write_text(code)
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("leaky", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "leaky", module)
    spec.loader.exec_module(module)
    contract = rnnedge.load("leaky.onnx").contract
    assert [state.name for state in contract.states] == ["leaky.state_0", "leaky.state_1"]
    assert contract.parity is not None
    assert contract.parity["passed"]
