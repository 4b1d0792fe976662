"""`rnnedge export` of packed sequences, which have lengths, and of modules that are not float32."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SOURCE = """
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True, bidirectional=True)

    def forward(self, x, lengths):
        y, _ = self.gru(pack_padded_sequence(x, lengths, batch_first=True))
        return pad_packed_sequence(y, batch_first=True)[0]


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


def double():
    return Plain().double()
"""
LENGTHS = ("--input", "x: float32[batch, time, 3]", "--input", "lengths: int64[batch]")


@pytest.fixture(autouse=True)
def _source(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("net.py").write_text(SOURCE)


@pytest.mark.slow
def test_a_packed_module_is_proven_with_lengths_of_its_own_for_each_row(call) -> None:
    ended = call("export", "net.py:Packed", *LENGTHS, "--mode", "sequence", "-o", "net.onnx")
    assert ended.code == 0
    assert "verified" in ended.out


@pytest.mark.slow
def test_a_packed_module_is_no_stream(call) -> None:
    ended = call("export", "net.py:Packed", *LENGTHS, "-o", "net.onnx")
    assert ended.code == 2
    assert "it runs over a packed sequence" in ended.err
    assert "stream the sequence itself, without packing it" in ended.err


@pytest.mark.slow
def test_a_double_module_is_exported_as_float32_and_the_user_is_told(call) -> None:
    spec = "x: float64[batch, time, 3]"
    ended = call("export", "net.py:double", "--input", spec, "-o", "net.onnx")
    assert ended.code == 0
    assert "the module is float64; it is exported as float32" in " ".join(ended.err.split())
    assert "verified" in ended.out
