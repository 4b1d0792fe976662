"""`rnnedge train zoo`: trained, exported, proven and judged, by one command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import rnnedge
from rnnedge.zoo.catalogue import CATALOGUE, find, make
from rnnedge.zoo.practice import judge, right
from rnnedge.zoo.showcase import INPUT
from rnnedge.zoo.tasks import IGNORED, SYMBOLS, Echo, Latch
from rnnedge_runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("own_folder")


def draw(task, frames=60):
    return task.draw(3, frames, torch.Generator().manual_seed(0))


def test_the_latchs_answer_is_the_last_marked_symbol():
    tokens, answers = draw(Latch())
    for row, expected in zip(tokens.tolist(), answers.tolist(), strict=True):
        held = None
        for token, answer in zip(row, expected, strict=True):
            held = token - SYMBOLS if token >= SYMBOLS else held
            assert answer == held


def test_the_echos_answer_is_the_symbol_so_many_frames_ago():
    tokens, answers = draw(Echo(4))
    assert torch.equal(answers[:, 4:], tokens[:, :-4])
    assert (answers[:, :4] == IGNORED).all()


def test_without_memory_half_of_the_answers_are_the_best_there_is():
    """The best answer from the present token alone, counted on many frames."""
    task = Latch()
    tokens, answers = draw(task, 20_000)
    counts = torch.zeros(task.tokens, SYMBOLS)
    counts.index_put_((tokens.flatten(), answers.flatten()), torch.ones(1), accumulate=True)
    found = counts.argmax(-1)[tokens] == answers
    assert float(found.float().mean()) == pytest.approx(task.without_memory, abs=0.01)


def test_only_answers_that_count_are_counted():
    scores = torch.eye(SYMBOLS)[torch.tensor([[1, 2, 3, 4]])]
    assert right(scores, torch.tensor([[1, 2, 0, IGNORED]])) == pytest.approx(2 / 3)


def test_an_unknown_layer_is_refused(call):
    with pytest.raises(InputError, match="there is no 'nope' in the zoo"):
        find("nope")
    ended = call("train", "zoo", "nope")
    assert ended.code == 2
    assert "fix: use one of elman, lstm, gru, mingru" in ended.err


def test_help_names_every_layer(call):
    said = " ".join(call("train", "zoo", "--help").out.split())
    assert ", ".join([*CATALOGUE][:-1]) + f" or {[*CATALOGUE][-1]}" in said


@pytest.mark.slow
def test_one_command_trains_exports_proves_and_judges(call):
    ended = call("train", "zoo", "mingru", "--steps", 30, "--hidden", 16, "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert (result["proven"], result["operator"], result["task"]) == (True, "Scan", "latch")
    assert result["accuracy"] > result["without_memory"]
    assert result["stream_accuracy"] == pytest.approx(result["accuracy"], abs=1e-3)
    assert ended.err.splitlines()[-1] == "next: rnnedge inspect mingru.onnx"
    stream = rnnedge.load("mingru.onnx").stream()
    assert np.shape(stream.push(np.zeros((1, 5), np.int64))) == (1, 5, SYMBOLS)
    again = call("train", "zoo", "mingru")
    assert again.code == 2
    assert "exists already" in again.err


@pytest.mark.long
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_layer_learns_its_task_and_its_stream_does_as_well(name, call):
    ended = call("train", "zoo", name, "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["proven"]
    assert result["accuracy"] > 0.97
    assert result["stream_accuracy"] == pytest.approx(result["accuracy"], abs=1e-3)
    own = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU", "gla": "LinearAttention"}
    expected = own.get(name, "Scan")
    assert result["operator"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_layer_is_exported_and_proven_untrained(name):
    result = rnnedge.export(make(name, 16), Path("net.onnx"), inputs=[INPUT])
    assert result.parity is not None
    assert result.parity.passed


def test_an_untrained_network_is_no_better_than_chance():
    assert judge(make("gru"), Latch()) < 0.4
