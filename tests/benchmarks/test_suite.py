"""The measurements: they run, and what they compare is the same function. No time is judged."""

from __future__ import annotations

import asyncio
import json
import sys

import numpy as np
import pytest

from benchmarks import __main__ as suite
from benchmarks import many_streams, quantized_by_others, step
from benchmarks.cells import Cell, bare, build
from benchmarks.examples_live import endure
from benchmarks.figure import draw
from rnnedge_runtime import load


def test_the_bare_step_is_the_step_of_a_stream():
    model = load(build("LSTM", 4, 6))
    x = np.random.default_rng(0).standard_normal((1, 1, 4), dtype=np.float32)
    stream, ours = model.stream(), bare(model, {"x": x})
    for _ in range(5):
        _, _, results = ours()
        np.testing.assert_array_equal(results["y"], stream.push(x))


@pytest.mark.slow
def test_a_cell_is_timed_by_every_way_that_is_installed():
    row = step.measure_cell(Cell("GRU", 4, 6), frames=2, seconds=0.05)
    assert set(row["us"]) | set(row["left_out"]) >= {
        "push", "into", "bare", "session.run", "torch eager", "OpenVINO", "tract", "limit",
    }  # fmt: skip
    assert all(us >= 0 for us in row["us"].values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_the_int8_steps_of_others_are_the_same_cell(kind):
    row = quantized_by_others.measure_cell(Cell(kind, 32, 32), seconds=0.05)
    installed = {name.split()[0] for name in row["us"]}
    assert len(installed) + len(row["left_out"]) == 3
    floats = [snr for name, snr in row["snr_db"].items() if name.endswith("float")]
    assert min(floats) > 100
    assert min(row["snr_db"].values()) > 10


@pytest.mark.slow
def test_every_way_of_many_streams_runs():
    loop = asyncio.new_event_loop()
    steps = many_streams.steps_of(load(build("GRU", 4, 6)), "GRU", 4, 6, loop)
    for once, _ in steps.values():
        once()
    loop.close()


def test_endurance_sees_memory_grow():
    kept = []
    lasted = endure(lambda: kept.append(bytearray(100_000)), 1000)
    assert lasted.pushes == 1000
    assert lasted.grown_bytes > 50_000_000


@pytest.mark.slow
def test_the_figure_is_drawn_light_and_dark(tmp_path):
    rows = [{"cell": "GRU 8→8, 1", "us": {"push": 8.0, "torch eager": 80.0, "limit": 1.5}}]
    draw(rows, tmp_path / "speed")
    light, dark = (tmp_path / f"speed{kind}.svg" for kind in ("", "-dark"))
    assert "rnnedge, Stream.push" in light.read_text(encoding="utf-8")
    assert light.read_text(encoding="utf-8") != dark.read_text(encoding="utf-8")


def test_parts_that_are_not_measured_stay_as_they_were(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    measured = {"one": lambda: [{"run": 1}], "two": lambda: [{"run": 1}]}
    monkeypatch.setattr(suite, "parts", lambda *, quick: measured)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--save", str(path)])
    suite.main()
    measured["two"] = lambda: [{"run": 2}]
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--save", str(path), "--only", "two"])
    suite.main()
    parts = json.loads(path.read_text(encoding="utf-8"))["parts"]
    assert {name: part["rows"] for name, part in parts.items()} == {
        "one": [{"run": 1}],
        "two": [{"run": 2}],
    }
