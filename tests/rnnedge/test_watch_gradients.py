"""`rnnedge train char-lm --watch-gradients`."""

from __future__ import annotations

from pathlib import Path

import pytest

TEXT = "def f(x):\n    return x + 1\n\n" * 60
WORDS = ("train", "char-lm", "--text", "text.txt", "--hidden", 8, "--batch", 2, "--steps", 5)


@pytest.fixture(autouse=True)
def _text(own_folder):
    Path("text.txt").write_text(TEXT)


@pytest.mark.slow
def test_all_three_cells_are_drawn_and_one_that_vanishes_is_told(call):
    ended = call(*WORDS, "--cell", "rnn", "--unroll", 64, "--watch-gradients", "plot.svg")
    assert ended.code == 0, ended.err
    drawn = Path("plot.svg").read_text()
    assert all(f"<!-- {cell} -->" in drawn for cell in ("rnn", "lstm", "gru"))
    assert "training gru for the comparison" in ended.err
    warned = " ".join(ended.err.split())
    assert "warning: the gradient of rnn vanishes" in warned
    assert "fix: nothing is learned over longer spans" in warned
    assert "wrote plot.svg" in ended.err


@pytest.mark.parametrize(("name", "what"), [("plot.txt", "a plot is a"), ("there.png", "exists")])
def test_what_cannot_be_drawn_is_refused_before_training(name, what, call):
    Path("there.png").write_text("mine")
    ended = call(*WORDS, "--watch-gradients", name)
    assert ended.code == 2
    assert what in ended.err
    assert not Path("char-lm.safetensors").exists()
