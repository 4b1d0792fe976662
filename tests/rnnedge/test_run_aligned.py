"""`rnnedge run` and `inspect` on models with delay and stride: aligned, complete, and told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from aligned_models import ALL

from rnnedge.report.latency import length_text
from rnnedge_runtime import Port, Signal

BY_NAME = {aligned.name: aligned for aligned in ALL}
KHZ = Signal(1000, 1, 1)
each = pytest.mark.parametrize("aligned", ALL, ids=lambda aligned: aligned.name)


@pytest.fixture
def saved(tmp_path):
    """Writes a model's file, at 1000 frames per second."""

    def save(aligned, signal=KHZ):
        path = tmp_path / f"{aligned.name}.onnx"
        path.write_bytes(replace(aligned, contract=replace(aligned.contract, signal=signal)).file())
        return path

    return save


def _close(got, expected):
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@each
@pytest.mark.parametrize("chunk", [None, 1, 7, 100])
def test_a_file_comes_out_aligned_and_complete(call, saved, tmp_path, aligned, chunk):
    x = aligned.signal(3, 51)
    np.save(tmp_path / "x.npy", x)
    words = [] if chunk is None else ["--chunk", chunk]
    ended = call("run", saved(aligned), tmp_path / "x.npy", "-o", tmp_path / "y.npy", *words)
    assert ended.code == 0, ended.err
    _close(np.load(tmp_path / "y.npy"), aligned.whole(x))


@pytest.mark.slow
@each
def test_a_pipe_comes_out_aligned_and_complete(spawn, saved, aligned):
    x = aligned.signal(1, 33)
    stdin = np.ascontiguousarray(np.moveaxis(x, 2, 0)).tobytes()
    done = spawn("run", saved(aligned), "-", "-o", "-", "--chunk", 5, stdin=stdin)
    assert done.returncode == 0, done.stderr
    frames = np.frombuffer(done.stdout, "<f4").reshape(-1, 1, 2)
    _close(np.moveaxis(frames, 0, 2), aligned.whole(x))


@each
@pytest.mark.parametrize("frames", [0, 1, 2])
def test_short_files_end_too(call, saved, tmp_path, aligned, frames):
    np.save(tmp_path / "x.npy", aligned.signal(1, frames))
    assert call("run", saved(aligned), tmp_path / "x.npy", "-o", tmp_path / "y.npy").code == 0
    port = aligned.contract.outputs[0]
    assert np.load(tmp_path / "y.npy").shape[-1] == port.length_of(frames)


@each
@pytest.mark.parametrize("cut", [20, 21])
def test_a_run_goes_on_where_the_one_before_has_stopped(call, saved, tmp_path, aligned, cut):
    x, file = aligned.signal(1, 50), saved(aligned)
    for name, part in (("a", x[:, :, :cut]), ("b", x[:, :, cut:])):
        np.save(tmp_path / f"{name}.npy", part)
    state = tmp_path / "state"
    first = ["run", file, tmp_path / "a.npy", "-o", tmp_path / "ya.npy", "--state-out", state]
    assert call(*first).code == 0
    then = ["run", file, tmp_path / "b.npy", "-o", tmp_path / "yb.npy", "--state-in", state]
    assert call(*then).code == 0
    whole = aligned.whole(x)
    a, b = np.load(tmp_path / "ya.npy"), np.load(tmp_path / "yb.npy")
    _close(a, aligned.whole(x[:, :, :cut]))
    assert a.shape[2] + b.shape[2] == whole.shape[2]
    _close(b, whole[:, :, a.shape[2] :])


def test_the_summary_tells_how_late_a_live_stream_is(call, saved, tmp_path):
    np.save(tmp_path / "x.npy", BY_NAME["stride"].signal(1, 20))
    file = saved(BY_NAME["stride"])
    said = " ".join(call("run", file, tmp_path / "x.npy").err.split())
    assert "latency 3 frames (3 ms): up to 1 to fill a run of 2, 2 of delay; the output" in said
    data = json.loads(call("run", file, tmp_path / "x.npy", "--json").out)
    assert data["latency"] == {
        "buffering_frames": 1,
        "delay_frames": 2,
        "delay_ms": 2.0,
        "total_frames": 3,
        "total_ms": 3.0,
    }
    assert data["chunk_frames"] == 10


def test_without_a_signal_time_is_not_told(call, saved, tmp_path):
    np.save(tmp_path / "x.npy", BY_NAME["upsampling"].signal(1, 20))
    file = saved(BY_NAME["upsampling"], signal=None)
    said = " ".join(call("run", file, tmp_path / "x.npy").err.split())
    assert "latency 0.5 frames: 0.5 of delay; the output" in said


def test_the_default_chunk_is_made_of_whole_runs(call, saved, tmp_path):
    np.save(tmp_path / "x.npy", BY_NAME["stride"].signal(1, 20))
    for signal, chunk in ((None, 2), (Signal(700, 1, 1), 8), (Signal(50, 1, 1), 2)):
        file = saved(BY_NAME["stride"], signal)
        data = json.loads(call("run", file, tmp_path / "x.npy", "--json").out)
        assert data["chunk_frames"] == chunk


def test_inspect_tells_delay_length_and_latency(call, saved):
    words = " ".join(call("inspect", saved(BY_NAME["stride"])).out.split())
    assert "output output float32 [batch, 2, time] 1/2 1 (2 ms) " in words
    assert "1 (2 ms) ((T - 2) / 2, rounded down) + 1" in words
    assert "latency 3 frames (3 ms): up to 1 to fill a run of 2, 2 of delay" in words
    data = json.loads(call("inspect", saved(BY_NAME["stride"]), "--json").out)
    assert data["latency"]["chunk_multiple"] == 2
    assert data["latency"]["outputs"] == [
        {
            "name": "output",
            "delay_frames": 1,
            "delay_ms": 2.0,
            "length": "((T - 2) / 2, rounded down) + 1",
        }
    ]
    assert data["cost"]["counted_frames"] == 2


def test_a_model_without_delay_is_not_late(call, gru_file, frames_file):
    words = " ".join(call("inspect", gru_file).out.split())
    assert "latency none: outputs are as far as the inputs" in words
    assert "latency" not in call("run", gru_file, frames_file).err


@pytest.mark.parametrize(
    ("length", "text"),
    [
        ((), "T"),
        (((1, 0, 1),), "T"),
        (((2, 0, 1),), "2 T"),
        (((1, 3, 1),), "T + 3"),
        (((1, -2, 4), (3, 1, 1)), "3 ((T - 2) / 4, rounded down) + 1"),
        (((1, 1, 1), (2, 0, 1)), "2 (T + 1)"),
        (((1, 0, 2), (1, 0, 2)), "(T / 2, rounded down) / 2, rounded down"),
    ],
)
def test_a_length_is_told_in_words(length, text):
    assert length_text(Port("y", "float32", ("time",), None, 0, length=length)) == text
