"""Files that others made: silero's voice activity detectors, from the packages that ship them."""

from __future__ import annotations

import itertools
import json
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import soundfile

import rnnedge

FRAME, CONTEXT, RATE = 512, 64, 16_000
WORDS = (
    "--state", "state=stateN", "--set", f"sr={RATE}", "--axes", f"input: batch, {FRAME}*time",
    "--context", f"input={CONTEXT}",
)  # fmt: skip


def shipped(package: str, name: str) -> Path:
    return Path(str(distribution(package).locate_file(name)))


def silero(name: str) -> Path:
    return shipped("silero-vad", f"silero_vad/data/{name}.onnx")


def speech_like(rows: int, frames: int) -> np.ndarray:
    """Noise with a slow envelope, over a hum: the detector's answers move."""
    random, time = np.random.default_rng(0), np.arange(frames * FRAME) / RATE
    envelope = 0.1 + 0.3 * np.sin(2 * np.pi * np.array([[3], [5], [2]])[:rows] * time) ** 2
    hum = np.sin(2 * np.pi * np.array([[140], [220], [90]])[:rows] * time)
    return (envelope * (hum + random.standard_normal(hum.shape))).astype(np.float32)


def by_hand(path: Path, signal: np.ndarray, sr: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """As silero's own wrapper does it: 64 samples of the past before each 512."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    state = np.zeros((2, len(signal), 128), np.float32)
    context = np.zeros((len(signal), CONTEXT), np.float32)
    found = []
    for start in range(0, signal.shape[1], FRAME):
        window = np.concatenate([context, signal[:, start : start + FRAME]], axis=1)
        feed = {"input": window, "state": state}
        if sr:
            feed["sr"] = np.array(RATE, np.int64)
        output, state = session.run(["output", "stateN"], feed)
        context = window[:, -CONTEXT:]
        found.append(output)
    return np.stack(found, axis=1), state


def in_chunks(stream: rnnedge.Stream, signal: np.ndarray, lengths: list[int]) -> np.ndarray:
    edges = np.cumsum([0, *lengths]) * FRAME
    return np.concatenate(
        [stream.push(signal[:, a:b]) for a, b in itertools.pairwise(edges)], axis=1
    )


@pytest.fixture
def vad(call, tmp_path) -> Path:
    path = tmp_path / "vad.onnx"
    assert call("adopt", silero("silero_vad"), *WORDS, "-o", path).code == 0
    return path


def test_a_stream_of_silero_equals_the_original_driven_by_hand(vad) -> None:
    signal = speech_like(3, 40)
    expected, state = by_hand(silero("silero_vad"), signal)
    assert np.ptp(expected) > 0.1
    stream = rnnedge.load(vad).stream(batch=3)
    got = in_chunks(stream, signal, [1, 1, 7, 0, 20, 11])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(stream.state["state"], state, rtol=0, atol=1e-6)
    assert np.array_equal(stream.state["input.context"], signal[:, -CONTEXT:])


def test_one_row_of_it_starts_anew_alone(vad) -> None:
    signal = speech_like(2, 12)
    stream = rnnedge.load(vad).stream(batch=2)
    first = in_chunks(stream, signal, [12])
    stream.reset(rows=[1])
    second = in_chunks(stream, signal, [5, 7])
    np.testing.assert_allclose(second[1], first[1], rtol=0, atol=1e-6)
    assert not np.allclose(second[0], first[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "has_rate"),
    [("silero_vad_16k_op15", True), ("silero_vad_op18_ifless", True), ("silero_vad_half", False)],
)
def test_its_other_forms_stream_too(call, tmp_path, name, has_rate) -> None:
    words = WORDS if has_rate else (*WORDS[:2], *WORDS[4:])
    path = tmp_path / "vad.onnx"
    ended = call("adopt", silero(name), *words, "-o", path)
    assert ended.code == 0, ended.err
    signal = speech_like(2, 20)
    expected, _ = by_hand(silero(name), signal, has_rate)
    got = in_chunks(rnnedge.load(path).stream(batch=2), signal, [3, 17])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_a_form_for_one_row_has_no_batch(call, tmp_path) -> None:
    path = tmp_path / "vad.onnx"
    words = ("--state", "state=stateN", "--axes", f"input: 1, {FRAME}*time",
             "--axes", "output: 1, time", "--context", f"input={CONTEXT}")  # fmt: skip
    assert call("adopt", silero("silero_vad_openvino_16k"), *words, "-o", path).code == 0
    signal = speech_like(1, 9)
    expected, _ = by_hand(silero("silero_vad_openvino_16k"), signal, sr=False)
    got = in_chunks(rnnedge.load(path).stream(), signal, [4, 5])
    np.testing.assert_allclose(got, expected[..., 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("silero-vad", "silero_vad/data/silero_vad_16k_sequence.onnx"),
        ("faster-whisper", "faster_whisper/assets/silero_vad_v6.onnx"),
    ],
)
def test_the_sequence_form_needs_only_its_pairs(call, tmp_path, package, name) -> None:
    original, path = shipped(package, name), tmp_path / "vad.onnx"
    ended = call("adopt", original, "--state", "h=hn", "--state", "c=cn", "-o", path, "--json")
    assert ended.code == 0, ended.err
    states = json.loads(ended.out)["contract"]["states"]
    assert [(s["name"], s["kind"]) for s in states] == [("h", "hidden"), ("c", "cell")]
    # Its windows overlap, and who calls it cuts them: 64 samples of the frame before.
    signal = np.pad(speech_like(1, 30)[0], (CONTEXT, 0))
    windows = np.lib.stride_tricks.sliding_window_view(signal, FRAME + CONTEXT)[::FRAME]
    zero = np.zeros((1, 1, 128), np.float32)
    session = ort.InferenceSession(original, providers=["CPUExecutionProvider"])
    whole = session.run(["speech_probs"], {"input": windows, "h": zero, "c": zero})[0]
    stream = rnnedge.load(path).stream()
    got = [stream.push(np.ascontiguousarray(windows[a:b])) for a, b in ((0, 1), (1, 14), (14, 30))]
    np.testing.assert_allclose(np.concatenate(got), whole, rtol=0, atol=1e-6)


def test_pairs_are_proposed_and_nothing_is_written(call, tmp_path) -> None:
    ended = call("adopt", silero("silero_vad"), "-o", tmp_path / "vad.onnx")
    assert ended.code == 2
    assert "fix: if that is so, give: --state state=stateN" in ended.err
    assert not list(tmp_path.iterdir())


def test_axes_that_the_file_does_not_name_are_asked_for(call, tmp_path) -> None:
    ended = call("adopt", silero("silero_vad"), *WORDS[:4], "-o", tmp_path / "vad.onnx")
    assert ended.code == 2
    assert "axis 0 of 'input' is open" in ended.err
    assert not list(tmp_path.iterdir())


def test_the_adopted_file_can_be_inspected_and_run(call, vad, tmp_path) -> None:
    ended = call("inspect", vad)
    assert ended.code == 0
    assert "input.context context float32 [batch, 64] 0" in " ".join(ended.out.split())
    signal = speech_like(1, 10)
    np.save(tmp_path / "in.npy", signal)
    ended = call("run", vad, tmp_path / "in.npy", "-o", tmp_path / "out.npy", "--chunk", 3)
    assert ended.code == 0, ended.err
    expected, _ = by_hand(silero("silero_vad"), signal)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=0, atol=1e-6)


def test_run_reads_sound_in_frames_of_512_samples(call, vad, tmp_path) -> None:
    signal = speech_like(1, 10)[:, :-100]
    soundfile.write(tmp_path / "in.wav", signal[0], RATE, subtype="FLOAT")
    ended = call("run", vad, tmp_path / "in.wav", "-o", tmp_path / "out.npy", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["frames"] == 10
    assert "lacked 100 of 512 samples, and was filled with silence" in ended.err
    expected, _ = by_hand(silero("silero_vad"), np.pad(signal, ((0, 0), (0, 100))))
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected[0], rtol=0, atol=1e-6)


def test_run_refuses_an_array_that_ends_inside_a_frame(call, vad, tmp_path) -> None:
    np.save(tmp_path / "in.npy", np.zeros((1, 1000), np.float32))
    ended = call("run", vad, tmp_path / "in.npy")
    assert ended.code == 2
    assert "1000 entries along time are not a whole number of frames of 512" in ended.err
    assert "np.pad, 24 more" in ended.err


@pytest.mark.slow
def test_run_reads_raw_samples_in_whole_frames(spawn, vad) -> None:
    signal = speech_like(1, 6)
    done = spawn("run", vad, "-", "-o", "-", "--chunk", 4, stdin=signal.astype("<f4").tobytes())
    assert done.returncode == 0, done.stderr
    expected, _ = by_hand(silero("silero_vad"), signal)
    got = np.frombuffer(done.stdout, "<f4")
    np.testing.assert_allclose(got, expected.ravel(), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_command_ends_with_the_next_one(call, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("adopt", silero("silero_vad"), *WORDS, "-o", "vad.onnx")
    first = call(*words)
    assert first.err.splitlines()[-1] == "next: rnnedge inspect vad.onnx"
    assert "beside the original: the same stream" in first.out
    again = call(*words)
    assert again.code == 2
    assert "exists already" in again.err
    assert call("--quiet", *words, "--force").out == "vad.onnx\n"
