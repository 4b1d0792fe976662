"""`rnnedge run`: every error says what, where and how to fix it, and destroys nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile

from rnnedge.cli._frames.from_stdin import stdin_source
from rnnedge_runtime.contract import Port
from rnnedge_runtime.errors import InputError


def says(ended, what: str, where: str, fix: str) -> None:
    """Checks the three lines; each is a pattern that the line must hold."""
    assert ended.code == 2
    lines = [line for line in ended.err.splitlines() if not line.startswith("the run stopped")]
    assert len(lines) == 3
    for line, start, pattern in zip(
        lines, ("error: ", "  where: ", "  fix: "), (what, where, fix), strict=True
    ):
        assert line.startswith(start)
        assert re.search(pattern, line), line


@pytest.fixture
def state(call, gru_file, frames_file, tmp_path):
    path = tmp_path / "state.bin"
    assert call("run", gru_file, frames_file, "--state-out", path).code == 0
    return path


def test_a_missing_model(call, frames_file, tmp_path) -> None:
    ended = call("run", tmp_path / "no.onnx", frames_file)
    says(
        ended,
        "no such file|cannot be (read|opened)|not found|missing|does not exist",
        "no.onnx",
        ".",
    )


def test_a_missing_input(call, gru_file, tmp_path) -> None:
    ended = call("run", gru_file, tmp_path / "no.npy")
    says(ended, "there is no such file", "no.npy", "check the path")


def test_a_model_without_a_contract(call, bare_file, frames_file) -> None:
    says(call("run", bare_file, frames_file), "no contract", "bare.onnx", "export|adopt")


def test_a_damaged_contract(call, gru_file, rewrite, frames_file) -> None:
    path = rewrite(gru_file, "{")
    says(call("run", path, frames_file), "contract is damaged", "rnnedge.contract", "export")


def test_a_truncated_model(call, gru_file, frames_file, tmp_path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(gru_file.read_bytes()[:200])
    says(call("run", path, frames_file), ".", "cut.onnx", ".")


def test_an_unknown_provider(call, gru_file, frames_file) -> None:
    ended = call("run", gru_file, frames_file, "--provider", "quantum")
    says(ended, "quantum", ".", ".")
    assert "CPU" in ended.err


def test_a_wrong_number_of_features(call, gru_file, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 7), np.float32))
    says(call("run", gru_file, tmp_path / "x.npy"), "7", "'x'.*chunk began at frame 0", ".")


def test_a_wrong_number_of_axes(call, gru_file, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(5, np.float32))
    says(
        call("run", gru_file, tmp_path / "x.npy"),
        r"shape is \[5\], \[batch, time, 3\] expected",
        "input 'x', .*x.npy",
        "batch axis of 1 may be left out",
    )


def test_a_wrong_kind_of_numbers(call, gru_file, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 3), np.int16))
    says(
        call("run", gru_file, tmp_path / "x.npy"),
        "elements are int16, float32 expected",
        "input 'x'",
        r"array\.astype\('float32'\)",
    )


def test_an_output_that_exists_stays_as_it_is(call, gru_file, frames_file, tmp_path) -> None:
    output = tmp_path / "y.npy"
    output.write_text("precious")
    ended = call("run", gru_file, frames_file, "-o", output)
    says(ended, "exists already", "y.npy", "--force")
    assert output.read_text() == "precious"
    assert call("run", gru_file, frames_file, "-o", output, "--force").code == 0
    assert np.load(output).shape == (20, 4)


def test_an_output_in_a_folder_that_does_not_exist(call, gru_file, frames_file, tmp_path) -> None:
    ended = call("run", gru_file, frames_file, "-o", tmp_path / "no" / "y.npy")
    says(ended, "folder does not exist", "no$", "mkdir -p")


def test_an_output_that_is_a_folder(call, gru_file, frames_file, tmp_path) -> None:
    says(call("run", gru_file, frames_file, "-o", tmp_path), "a folder", ".", "a file inside")


@pytest.mark.parametrize("name", ["y.txt", "y"])
def test_an_output_of_unknown_kind(call, gru_file, frames_file, tmp_path, name) -> None:
    ended = call("run", gru_file, frames_file, "-o", tmp_path / name)
    says(ended, r"\.txt cannot be written|no suffix", name, r"\.npy, \.npz or \.wav")


@pytest.mark.parametrize("name", ["x.txt", "x"])
def test_an_input_of_unknown_kind(call, gru_file, tmp_path, name) -> None:
    (tmp_path / name).write_text("1 2 3")
    ended = call("run", gru_file, tmp_path / name)
    says(ended, r"\.txt cannot be read|no suffix", name, r"\.npy, \.npz or \.wav")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not an array", b"PK\x03\x04"])
def test_a_damaged_array_file(call, gru_file, tmp_path, content) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    says(call("run", gru_file, path), "cannot be read as .npy", "x.npy", "np.save")


def test_an_array_of_python_objects_is_refused(call, gru_file, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}, {}]), allow_pickle=True)
    says(call("run", gru_file, tmp_path / "x.npy"), "cannot be read", ".", "objects")


def test_nan_stops_the_run_and_keeps_what_was_written(call, gru_file, frames, tmp_path) -> None:
    frames[13, 1] = np.nan
    np.save(tmp_path / "x.npy", frames)
    output = tmp_path / "y.npy"
    output.write_text("the last good run")
    ended = call("run", gru_file, tmp_path / "x.npy", "-o", output, "--chunk", 5, "--force")
    says(ended, "(?i)nan", "'x'.*; the chunk began at frame 10", ".")
    assert output.read_text() == "the last good run"
    part = tmp_path / "y.npy.part"
    assert f"the run stopped; the output so far is kept in {part}" in ended.err
    assert np.load(part).shape == (10, 4)


def test_raw_input_that_ends_inside_a_frame(spawn, gru_file, frames) -> None:
    done = spawn("run", gru_file, "-", "-o", "-", stdin=frames.tobytes()[:-5])
    assert done.returncode == 2
    assert len(done.stdout) == 19 * 4 * 4  # whole frames were answered
    said = done.stderr.decode()
    assert "the input ends inside a frame: 7 of 12 bytes came" in said
    assert "send frames of float32[1, 3], little-endian" in said


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "empty"])
def test_a_damaged_state(call, gru_file, frames_file, state, damage) -> None:
    data = bytearray(state.read_bytes())
    if damage == "flipped bit":
        data[-3] ^= 1
    state.write_bytes({"truncated": data[:-3], "flipped bit": data, "empty": b""}[damage])
    ended = call("run", gru_file, frames_file, "--state-in", state)
    says(ended, "snapshot|state", str(state), ".")


def test_the_state_of_another_model(call, leak_file, state, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(8, np.float32))
    ended = call("run", leak_file, tmp_path / "x.npy", "--state-in", state)
    says(ended, "another|other|model", str(state), ".")


def test_a_missing_state(call, gru_file, frames_file, tmp_path) -> None:
    ended = call("run", gru_file, frames_file, "--state-in", tmp_path / "no.bin")
    says(ended, "no such file", "no.bin", "--state-out")


def test_a_state_file_that_exists_needs_force(call, gru_file, frames_file, state) -> None:
    ended = call("run", gru_file, frames_file, "--state-out", state)
    says(ended, "exists already", "state.bin", "--force")


@pytest.mark.parametrize("flag", ["--chunk", "--state-in", "--state-out"])
def test_a_whole_sequence_model_has_no_chunks_and_no_state(
    call, whole_file, frames_file, tmp_path, flag
) -> None:
    value = 4 if flag == "--chunk" else tmp_path / "state.bin"
    ended = call("run", whole_file, frames_file, flag, value)
    says(ended, "whole sequences only", flag, "--mode stream")


def test_another_sample_rate(call, leak_file, tmp_path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(80, np.float32), 8_000)
    says(
        call("run", leak_file, tmp_path / "x.wav"),
        "8000 Hz found, the model was made for 16000 Hz",
        "x.wav",
        "resample",
    )


def test_a_sound_file_for_a_model_of_features(call, gru_file, tmp_path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(80, np.float32), 16_000)
    says(
        call("run", gru_file, tmp_path / "x.wav"),
        r"holds samples, the model takes float32\[batch, time, 3\]",
        "input 'x'",
        "features",
    )


def test_a_damaged_sound_file(call, leak_file, tmp_path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF nonsense")
    says(call("run", leak_file, tmp_path / "x.wav"), "sound file cannot be read", "x.wav", "whole")


def test_features_as_a_sound_file(call, gru_file, frames_file, tmp_path) -> None:
    ended = call("run", gru_file, frames_file, "-o", tmp_path / "y.wav")
    says(ended, r"no sound: its shape is \[batch, time, 4\]", "output 'y'", r"\.npy")


def test_one_array_for_two_inputs(call, pair_file, frames_file) -> None:
    says(call("run", pair_file, frames_file), r"2 inputs \(a, b\)", "frames.npy", r"\.npz")


def test_one_array_for_two_outputs(call, pair_file, tmp_path) -> None:
    ones = np.ones((4, 2), np.float32)
    np.savez(tmp_path / "in.npz", a=ones, b=ones)
    ended = call("run", pair_file, tmp_path / "in.npz", "-o", tmp_path / "y.npy")
    says(ended, r"2 outputs \(sum, total\)", "y.npy", r"\.npz")


def test_arrays_under_wrong_names(call, pair_file, tmp_path) -> None:
    np.savez(tmp_path / "in.npz", a=np.ones((4, 2), np.float32))
    ended = call("run", pair_file, tmp_path / "in.npz")
    says(ended, r"\['a'\] found, the model's inputs are \['a', 'b'\]", "in.npz", "per input")


def test_arrays_of_different_length(call, pair_file, tmp_path) -> None:
    arrays = {"a": np.ones((4, 2), np.float32), "b": np.ones((5, 2), np.float32)}
    np.savez(tmp_path / "in.npz", **arrays)
    ended = call("run", pair_file, tmp_path / "in.npz")
    says(ended, "differ in size .*'a': 4, 'b': 5", "in.npz", "same number")


def test_a_batch_that_contradicts_the_file(call, gru_file, frames_file) -> None:
    ended = call("run", gru_file, frames_file, "--batch", 3)
    says(ended, "--batch says 3, the file has 1", "frames.npy", "leave --batch away")


def test_raw_bytes_for_a_model_whose_frames_have_no_fixed_size() -> None:
    port = Port("x", "float32", ("batch", "time", "bands"), 0, 1)
    with pytest.raises(InputError, match="raw bytes do not tell the sizes") as refused:
        stdin_source(port, batch=1)
    assert (refused.value.where, refused.value.fix) == ("input 'x', stdin", "give a .npy file")
