"""The command line as a user meets it, and a source file of models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rnnedge.cli import main

SOURCE = '''
import torch
from torch import nn


class Denoiser(nn.Module):
    """Bands in, a gain per band out; from zeros, or from a state that is given."""

    def __init__(self, bands: int = 6, hidden: int = 10, both_ways: bool = False) -> None:
        super().__init__()
        self.front = nn.Linear(bands, hidden)
        self.lstm = nn.LSTM(
            hidden, hidden, 2, batch_first=True, dropout=0.3, bidirectional=both_ways
        )
        self.gain = nn.Linear(hidden * (1 + both_ways), bands)

    def forward(self, x):
        return self.gain(self.lstm(self.front(x).relu())[0]).sigmoid() * x


class Swapped(nn.Module):
    """Returns its two states in the other order than it takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.GRU(6, 5, batch_first=True)
        self.second = nn.GRU(5, 5, batch_first=True)

    def forward(self, x, a, b):
        y, a = self.first(x, a)
        y, b = self.second(y, b)
        return y, b, a


class Overflowing(Denoiser):
    """Its second result is beyond float32 for ordinary input."""

    def forward(self, x):
        return super().forward(x), torch.exp(40 * x)


def broken(width: int = 3):
    raise ValueError(f"no such width: {width}")


def number():
    return 7
'''


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The current folder; it holds `net.py`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("net.py").write_text(SOURCE)
    return tmp_path


@pytest.fixture
def spawn(folder):
    """Runs a command as its own process, in `folder`."""

    def run(*words, code=0):
        command = [sys.executable, "-m", "rnnedge", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if "--json" in words else done

    return run


@pytest.fixture
def refused(folder, capsys):
    """Runs a command that has to end with 2; returns the three lines of its error."""

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        assert ended.value.code == 2
        assert captured.out == ""
        # What went wrong may be a list, which goes on in deeper lines.
        what, rest = captured.err.split("\n  where: ")
        where, fix = rest.split("\n  fix: ")
        assert what.startswith("error: ")
        return what, where, fix.removesuffix("\n")

    return run
