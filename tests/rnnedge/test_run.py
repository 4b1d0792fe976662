"""`rnnedge run`: what comes out is what the module gives, in whatever way frames go in and out."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile
import torch

RATE = 16_000


@pytest.fixture
def close():
    """Equal but for float32 rounding."""
    return lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(2).uniform(-1, 1, 1_000).astype(np.float32)


def leak(x: np.ndarray) -> np.ndarray:
    """What `leak_file` computes."""
    outputs, y = np.empty_like(x), 0.0
    for t, sample in enumerate(x):
        y = np.tanh(sample + y / 2)
        outputs[t] = y
    return outputs


def test_a_stream_from_the_shell_equals_the_pytorch_module(
    spawn, gru_file, frames_file, gru_outputs, close, tmp_path
) -> None:
    output = tmp_path / "out.npy"
    done = spawn("run", gru_file, frames_file, "-o", output, "--chunk", "3")
    assert (done.returncode, done.stdout) == (0, b"")
    close(np.load(output), gru_outputs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames.npy", "out.npy"]


@pytest.mark.parametrize("chunk", [1, 7, 20, 1000])
def test_the_result_does_not_depend_on_the_chunk(
    call, gru_file, frames_file, gru_outputs, close, tmp_path, chunk
) -> None:
    output = tmp_path / "out.npy"
    assert call("run", gru_file, frames_file, "-o", output, "--chunk", chunk).code == 0
    close(np.load(output), gru_outputs)


def test_an_array_with_a_batch_axis_gives_one_with_a_batch_axis(
    call, gru, gru_file, close, tmp_path
) -> None:
    x = np.random.default_rng(3).standard_normal((5, 12, 3), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    ended = call("run", gru_file, tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--chunk", 5)
    assert ended.code == 0
    with torch.no_grad():
        close(np.load(tmp_path / "y.npy"), gru(torch.from_numpy(x))[0].numpy())


def test_float64_frames_are_taken_as_float32(
    call, gru_file, frames, gru_outputs, close, tmp_path
) -> None:
    np.save(tmp_path / "x.npy", frames.astype(np.float64))
    call("run", gru_file, tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    close(np.load(tmp_path / "y.npy"), gru_outputs)


def test_no_frames_give_no_frames(call, gru_file, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((0, 3), np.float32))
    assert call("run", gru_file, tmp_path / "x.npy", "-o", tmp_path / "y.npy").code == 0
    assert np.load(tmp_path / "y.npy").shape == (0, 4)


def test_raw_frames_flow_from_stdin_to_stdout(spawn, gru_file, frames, gru_outputs, close) -> None:
    done = spawn("run", gru_file, "-", "-o", "-", stdin=frames.tobytes())
    assert done.returncode == 0
    close(np.frombuffer(done.stdout, "<f4").reshape(-1, 4), gru_outputs)


def test_each_chunk_is_flushed_before_the_next_is_read(
    gru_file, frames, gru_outputs, close
) -> None:
    words = [sys.executable, "-m", "rnnedge", "run", str(gru_file), "-", "-o", "-"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(words, **pipes, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = threading.Timer(30, process.kill)  # without a flush it would wait for ever
        deadline.start()
        for x, y in zip(frames[:3], gru_outputs[:3], strict=True):
            process.stdin.write(x.tobytes())
            process.stdin.flush()
            close(np.frombuffer(process.stdout.read(16), "<f4"), y)
        process.stdin.close()
        assert process.stdout.read() == b""
        deadline.cancel()


def test_raw_frames_of_several_streams_lie_side_by_side(spawn, gru, gru_file, close) -> None:
    x = np.random.default_rng(4).standard_normal((6, 2, 3), dtype=np.float32)  # time first
    done = spawn("run", gru_file, "-", "-o", "-", "--batch", "2", "--chunk", "4", stdin=x.tobytes())
    with torch.no_grad():
        expected = gru(torch.from_numpy(x).transpose(0, 1))[0].transpose(0, 1).numpy()
    close(np.frombuffer(done.stdout, "<f4").reshape(6, 2, 4), expected)


def test_a_sound_file_streams_to_a_sound_file(call, leak_file, samples, close, tmp_path) -> None:
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
    ended = call("run", leak_file, tmp_path / "x.wav", "-o", tmp_path / "y.wav")
    assert ended.code == 0
    got, rate = soundfile.read(tmp_path / "y.wav", dtype="float32")
    assert rate == RATE
    assert soundfile.info(tmp_path / "y.wav").subtype == "FLOAT"  # integers would clip
    close(got, leak(samples))
    assert re.search(r"chunks +7 of 160 frames", ended.err)  # 10 ms each


def test_the_channels_of_a_sound_file_are_separate_streams(
    call, leak_file, samples, close, tmp_path
) -> None:
    stereo = np.stack([samples, -samples[::-1] / 2], axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, RATE, subtype="FLOAT")
    call("run", leak_file, tmp_path / "x.wav", "-o", tmp_path / "y.wav", "--chunk", 7)
    got, _ = soundfile.read(tmp_path / "y.wav", dtype="float32")
    close(got, np.stack([leak(stereo[:, 0]), leak(stereo[:, 1])], axis=1))


def test_several_inputs_and_outputs_are_arrays_in_npz_files(call, pair_file, tmp_path) -> None:
    ones = np.ones((4, 2), np.float32)
    np.savez(tmp_path / "in.npz", a=ones, b=ones)
    ended = call("run", pair_file, tmp_path / "in.npz", "-o", tmp_path / "y.npz", "--chunk", 3)
    assert ended.code == 0
    with np.load(tmp_path / "y.npz") as got:
        assert got["sum"].tolist() == (2 * ones).tolist()
        assert got["total"].tolist() == [8, 8]


def test_a_run_goes_on_where_a_saved_state_left_off(
    call, gru_file, frames, gru_outputs, close, tmp_path
) -> None:
    first, second, state = (tmp_path / name for name in ("a.npy", "b.npy", "state.bin"))
    np.save(first, frames[:8])
    np.save(second, frames[8:])
    assert call("run", gru_file, first, "--state-out", state).code == 0
    output = tmp_path / "y.npy"
    assert call("run", gru_file, second, "--state-in", state, "-o", output).code == 0
    close(np.load(output), gru_outputs[8:])


def test_a_whole_sequence_model_runs_in_one_piece(
    call, whole_file, frames_file, gru_outputs, close, tmp_path
) -> None:
    output = tmp_path / "y.npy"
    assert call("run", whole_file, frames_file, "-o", output).code == 0
    close(np.load(output), gru_outputs)


def test_without_output_nothing_is_written_and_the_hint_says_how(
    call, gru_file, frames_file, tmp_path
) -> None:
    ended = call("run", gru_file, frames_file)
    assert (ended.code, ended.out) == (0, "")
    assert "output      dropped" in ended.err
    assert "--output OUTPUT.npy" in ended.err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["frames.npy"]


def test_json_reports_counts_and_times_with_their_units(call, leak_file, samples, tmp_path) -> None:
    soundfile.write(tmp_path / "x.wav", samples, RATE)
    data = json.loads(call("run", leak_file, tmp_path / "x.wav", "--chunk", 100, "--json").out)
    assert {k: data[k] for k in ("frames", "chunks", "chunk_frames", "batch", "provider")} == {
        "frames": 1_000,
        "chunks": 10,
        "chunk_frames": 100,
        "batch": 1,
        "provider": "CPUExecutionProvider",
    }
    assert 0 < data["latency_us_p50"] <= data["latency_us_p99"]
    assert data["real_time_factor"] == pytest.approx(data["model_s"] / (1_000 / RATE))


def test_quiet_prints_the_path_of_the_output(call, gru_file, frames_file, tmp_path) -> None:
    output = tmp_path / "y.npy"
    ended = call("--quiet", "run", gru_file, frames_file, "-o", output)
    assert (ended.out, ended.err) == (f"{output}\n", "")


def test_a_written_array_is_what_numpy_itself_would_write(
    call, gru_file, frames_file, tmp_path
) -> None:
    output = tmp_path / "y.npy"
    call("run", gru_file, frames_file, "-o", output)
    got = np.load(output)
    again = io.BytesIO()
    np.save(again, got)
    assert got.flags.c_contiguous
    assert got.dtype == np.float32
    assert np.array_equal(np.load(output, mmap_mode="r"), np.load(io.BytesIO(again.getvalue())))
