"""What a user may get wrong on the way to a file: exit code 2, and what, where, how to fix it.

What a stream refuses is in tests/runtime, what `rnnedge run` refuses in tests/rnnedge.
"""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rnnedge_exporters import convert
from rnnedge_runtime.contract import METADATA_KEY

INPUT = "x: float32[batch, time, 6]"


@pytest.mark.parametrize(
    ("model", "what", "where", "fix"),
    [
        ("net.py:number", "a torch.nn.Module was expected, got int", "net.py:number", "returns"),
        ("net.py:broken", "raised ValueError: no such width: 3", "broken(), net.py:", "--arg"),
        ("net.py", "'net.py' names no factory", "model", "model.py:make_model"),
        ("torch.nn:Modul", "torch.nn has no 'Modul'", "torch.nn:Modul", "it has: "),
    ],
)
def test_what_makes_no_module(refused, model, what, where, fix):
    said = refused("export", model, "--input", INPUT, "-o", "net.onnx")
    for line, part in zip(said, (what, where, fix), strict=True):
        assert part in line
    assert not Path("net.onnx").exists()


@pytest.mark.parametrize(
    ("spec", "what", "where", "fix"),
    [
        ("x", "names no argument of forward", "--input", "write it like"),
        ("x: float32", "'float32' is not a tensor spec", "--input x", "float32[batch, time, 80]"),
        ("x: float33[batch, time, 6]", "unknown element type 'float33'", "--input x", "float32"),
        ("x: float32[batch, tme, 6]", "'tme' is neither a size nor", "--input x", "sizes above"),
        ("y: float32[batch, time, 6]", "has no argument 'y'", "--input y", "arguments are: x"),
        ("x: float32[batch, time, 7]", "forward raised RuntimeError", "[3, 16, 7]", "sizes"),
        ("x: int64[batch, time, 6]", "forward raised RuntimeError", "Denoiser", "element type"),
        ("x: float32[batch, 9, 6]", "no input has an axis named 'time'", "x: ", "--mode sequence"),
    ],
)
def test_an_input_that_does_not_parse_or_fit(refused, spec, what, where, fix):
    said = refused("export", "net.py:Denoiser", "--input", spec, "-o", "net.onnx")
    for line, part in zip(said, (what, where, fix), strict=True):
        assert part in line
    assert not Path("net.onnx").exists()


def test_weights_that_do_not_fit(refused):
    save_file({"front.weight": torch.zeros(2, 6), "old": torch.zeros(1)}, "w.safetensors")
    words = ("export", "net.py:Denoiser", "--input", INPUT, "-o", "net.onnx")
    what, where, fix = refused(*words, "--weights", "w.safetensors")
    assert "shape of front.weight: [2, 6] in the file, [10, 6] expected" in what
    assert "unexpected: old" in what
    assert "missing: gain.bias" in what
    assert where == "w.safetensors"
    assert "--weights-key" in fix


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize("command", ["export", "verify"])
def test_a_pickle_that_wants_code_does_not_run(refused, command):
    torch.save({"weight": Payload()}, "w.pt")
    words = {
        "export": ("export", "net.py:Denoiser", "--input", INPUT, "-o", "net.onnx"),
        "verify": ("verify", "net.onnx", "--against", "net.py:Denoiser"),
    }
    what, where, fix = refused(*words[command], "--weights", "w.pt")
    assert "could run any code, so it is refused" in what
    assert where == "w.pt"
    assert "safetensors" in fix
    assert not Path("executed").exists()


def test_a_layer_that_is_bidirectional_over_time(refused):
    words = ("export", "net.py:Denoiser", "--arg", "both_ways=true", "--input", INPUT)
    what, where, fix = refused(*words, "-o", "net.onnx")
    assert "its backward half needs the end of the signal first" in what
    assert "module 'lstm' (LSTM), net.py:" in where
    assert "bidirectional=False" in fix
    assert "--mode sequence" in fix


def test_a_start_that_depends_on_an_input_is_no_stream(refused):
    Path("started.py").write_text(STARTED)
    inputs = ("--input", INPUT, "--input", "speaker: float32[batch, 4]")
    what, where, fix = refused("export", "started.py:Started", *inputs, "-o", "net.onnx")
    assert "its initial state is computed from an input" in what
    assert "module 'gru' (GRU), started.py:" in where
    assert "an argument of forward" in fix


STARTED = """
from torch import nn


class Started(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 4, batch_first=True)

    def forward(self, x, speaker):
        return self.gru(x, speaker[None].tanh())[0]
"""


@pytest.fixture(scope="module")
def exported() -> bytes:
    return convert(nn.GRU(6, 4, batch_first=True), {"input": "float32[batch, time, 6]"}).to_bytes()


def damaged(data: bytes, how: str) -> bytes:
    if how == "truncated":
        return data[:-200]
    model = onnx.load_model_from_string(data)
    for prop in model.metadata_props:
        if prop.key == METADATA_KEY:
            prop.key, prop.value = {
                "no contract": ("other", prop.value),
                "damaged": (prop.key, prop.value[:-5]),
                "newer": (prop.key, prop.value.replace('"version": 2', '"version": 3', 1)),
            }[how]
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("how", "what", "where", "fix"),
    [
        ("truncated", "", "net.onnx", ""),
        ("no contract", "no contract", "net.onnx", "rnnedge export"),
        ("damaged", "contract is damaged", "rnnedge.contract", "export"),
        ("newer", "contract version 3 found", "'version'", "newer rnnedge-runtime"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_not_verified(refused, exported, how, what, where, fix):
    Path("net.onnx").write_bytes(damaged(exported, how))
    said = refused("verify", "net.onnx", "--against", "net.py:Denoiser")
    for line, part in zip(said, (what, where, fix), strict=True):
        assert part in line


def test_a_provider_that_is_not_there_proves_nothing(refused, exported):
    Path("net.onnx").write_bytes(exported)
    words = ("verify", "net.onnx", "--against", "net.py:Denoiser")
    what, _, fix = refused(*words, "--provider", "quantum")
    assert "quantum" in what
    assert "cpu" in fix.lower()
