"""`rnnedge export` and `rnnedge verify`, from a model's source file to a proven ONNX file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden: int = 4, both_ways: bool = False) -> None:
        super().__init__()
        self.gru = nn.GRU(3, hidden, batch_first=True, bidirectional=both_ways)

    def forward(self, x):
        return self.gru(x)[0]


class Stepped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x, hidden):
        return self.gru(x, hidden)
"""
INPUT = "x: float32[batch, time, 3]"


@pytest.fixture
def model(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("net.py").write_text(SOURCE)
    return "net.py:Net"


@pytest.fixture
def weights(model, call) -> Path:
    """A checkpoint that holds the module's weights under a key, beside other things."""
    import torch

    torch.manual_seed(5)
    path = Path("net.pt")
    torch.save({"model": torch.nn.ModuleDict({"gru": torch.nn.GRU(3, 4)}).state_dict()}, path)
    return path


@pytest.mark.slow
def test_export_proves_the_file_and_verify_proves_it_again(call, model, weights) -> None:
    words = (model, "--weights", weights, "--weights-key", "model")
    exported = call(
        "export", *words, "--input", INPUT, "-o", "net.onnx", "--sample-rate", 100, "--json"
    )
    assert exported.code == 0
    data = json.loads(exported.out)
    assert data["path"] == "net.onnx"
    assert data["parity"]["passed"] is True
    assert data["contract"]["signal"] == {
        "sample_rate_hz": 100,
        "hop_samples": 1,
        "window_samples": 1,
    }
    assert exported.err.splitlines()[-1] == "next: rnnedge inspect net.onnx"
    verified = call("verify", "net.onnx", "--against", *words)
    assert verified.code == 0
    assert verified.out.startswith("parity: the same function")


@pytest.mark.slow
def test_verify_ends_with_1_and_a_reason_if_the_weights_are_others(call, model, weights) -> None:
    call("export", model, "--input", INPUT, "-o", "net.onnx", "--no-verify")
    ended = call("verify", "net.onnx", "--against", model)
    assert ended.code == 1
    assert "parity: NOT the same function" in ended.out
    assert "without --weights" in ended.err
    quiet = call(
        "--quiet", "verify", "net.onnx", "--against", model, "--weights", weights,
        "--weights-key", "model",
    )  # fmt: skip
    assert (quiet.code, quiet.out, quiet.err) == (1, "failed\n", "")


@pytest.mark.slow
def test_arguments_reach_the_factory_and_states_the_contract(call, model) -> None:
    words = ("--input", INPUT, "--no-verify", "--json")
    wide = call("export", model, "--arg", "hidden=6", *words, "-o", "wide.onnx")
    assert json.loads(wide.out)["contract"]["states"][0]["shape"] == [1, "batch", 6]
    stepped = call(
        "export", "net.py:Stepped", "--state", "hidden: float32[1, batch, 4] -> 1", *words,
        "-o", "stepped.onnx",
    )  # fmt: skip
    assert json.loads(stepped.out)["contract"]["states"][0]["name"] == "hidden"


@pytest.mark.slow
def test_a_model_that_cannot_stream_is_refused_with_the_way_out(call, model) -> None:
    ended = call("export", model, "--arg", "both_ways=true", "--input", INPUT, "-o", "net.onnx")
    assert ended.code == 2
    assert "bidirectional" in ended.err
    assert "--mode sequence" in ended.err
    assert not Path("net.onnx").exists()


def test_an_existing_file_is_refused_before_anything_is_imported(call, model) -> None:
    Path("net.onnx").write_text("precious")
    Path("net.py").write_text("raise RuntimeError('imported')")
    ended = call("export", model, "--input", INPUT, "-o", "net.onnx")
    assert ended.code == 2
    assert "exists already" in ended.err
    assert Path("net.onnx").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no.py:Net", "--input", INPUT), "no file no.py"),
        (("net.py:Nix", "--input", INPUT), "has no 'Nix'"),
        (("net.py:Net", "--input", "float32[batch]"), "names no argument of forward"),
        (("net.py:Net", "--input", INPUT, "--weights", "no.pt"), "cannot read the weights"),
    ],
)
def test_what_cannot_be_had_is_told_in_three_lines(call, model, words, said) -> None:
    ended = call("export", *words, "-o", "net.onnx")
    assert ended.code == 2
    what, where, fix = ended.err.splitlines()
    assert said in what
    assert (what[:7], where[:9], fix[:7]) == ("error: ", "  where: ", "  fix: ")


@pytest.mark.parametrize(
    "words", [("--arg", "hidden"), ("--arg", "=3"), ("--weights-key", "model")]
)
def test_options_that_make_no_sense_are_wrong_usage(call, model, words) -> None:
    ended = call("export", model, "--input", INPUT, "-o", "net.onnx", *words)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: rnnedge export" in ended.err


@pytest.mark.parametrize(
    "words",
    [["export", "net.py:Net", "--input", INPUT, "-o", "net.onnx"],
     ["verify", "net.onnx", "--against", "net.py:Net"]],
)  # fmt: skip
def test_without_the_exporters_the_error_says_what_to_install(words) -> None:
    probe = (
        "import sys\nsys.modules['torch'] = sys.modules['rnnedge_exporters'] = None\n"
        f"from rnnedge.cli import main\nmain({words!r})"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False)
    assert done.returncode == 2
    said = done.stderr.decode().splitlines()
    assert said[0].startswith("error: the exporters are not installed (no module ")
    assert said[1:] == [f"  where: rnnedge.{words[0]}", '  fix: pip install "rnnedge[export]"']


@pytest.mark.slow
def test_verify_explains_a_failure_and_says_how_to_ask_for_it(call, model, weights) -> None:
    call("export", model, "--input", INPUT, "-o", "net.onnx", "--no-verify")
    words = ("verify", "net.onnx", "--against", model, "--weights", weights, "--weights-key")
    ended = call(*words, "model")
    assert ended.code == 1
    assert ended.err.splitlines()[-1].endswith("--weights-key model --explain")
    told = call(*words, "model", "--explain", "--json")
    assert told.code == 1
    found = json.loads(told.out)["explanation"]
    assert found["first"]["stage"] == "file"
    assert found["causes"][0]["kind"] == "weight"
    read = call(*words, "model", "--explain")
    assert "the file was made from other weights" in read.out
    assert "  where: module" in read.out
