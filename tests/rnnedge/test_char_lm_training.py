"""Truncated back-propagation through time, bits per character, and learning."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
import torch
from torch.nn import functional

from rnnedge.zoo.char_lm.baseline import Bigram
from rnnedge.zoo.char_lm.corpus import Corpus
from rnnedge.zoo.char_lm.errors import TextError, TrainingError
from rnnedge.zoo.char_lm.model import CharLM, CharLMConfig, new_model
from rnnedge.zoo.char_lm.streams import Streams, contiguous_streams
from rnnedge.zoo.char_lm.training import TrainingOptions, evaluate, steps_per_epoch, train
from rnnedge.zoo.char_lm.vocabulary import Vocabulary

LETTERS = Vocabulary.of("abcdeabcde")
CELLS = ("rnn", "gru", "lstm")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _tokens(length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(len(LETTERS), size=length)


def _model(cell: str, seed: int = 3) -> CharLM:
    return new_model(LETTERS, CharLMConfig(cell, layers=2, hidden=6, embedding=4), seed).double()


def _whole_bits(model: CharLM, streams: Streams) -> float:
    """The loss of all streams in one pass, from torch's own operators."""
    logits, _ = model(torch.from_numpy(streams.inputs))
    log_p = functional.log_softmax(logits, dim=-1)
    picked = log_p.gather(-1, torch.from_numpy(streams.targets)[..., None])
    return -picked.mean().item() / math.log(2)


@pytest.mark.parametrize("cell", CELLS)
def test_chunks_with_carried_state_lose_what_one_pass_over_the_whole_text_loses(cell: str) -> None:
    tokens, model = _tokens(4 * 30 + 1), _model(cell)
    options = TrainingOptions(steps=3, batch=4, unroll=10, learning_rate=0.0)
    losses = [progress.bits_per_character for progress in train(model, tokens, options)]
    assert sum(losses) / 3 == pytest.approx(
        _whole_bits(model, contiguous_streams(tokens, 4)), rel=1e-12
    )


def test_every_epoch_starts_from_zero_state() -> None:
    options = TrainingOptions(steps=6, batch=4, unroll=10, learning_rate=0.0)
    progress = list(train(_model("lstm"), _tokens(4 * 30 + 1), options))
    assert [item.epoch for item in progress] == [1, 1, 1, 2, 2, 2]
    assert [p.bits_per_character for p in progress[:3]] == [
        p.bits_per_character for p in progress[3:]
    ]


def test_gradients_stop_where_a_chunk_starts() -> None:
    """The second step's gradient is that of its chunk alone, from a state taken as given."""
    tokens, options = _tokens(2 * 20 + 1), TrainingOptions(2, 2, 10, 0.0, clip=math.inf)
    trained, alone = _model("gru"), _model("gru")
    list(train(trained, tokens, options))
    streams = contiguous_streams(tokens, 2)
    inputs, targets = (torch.from_numpy(part) for part in streams)
    with torch.no_grad():
        _, state = alone(inputs[:, :10])
    logits, _ = alone(inputs[:, 10:], state)
    functional.cross_entropy(logits.flatten(0, 1), targets[:, 10:].flatten()).backward()
    for ours, expected in zip(trained.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-9, atol=1e-12)


def test_the_gradient_is_clipped_to_its_norm() -> None:
    model = _model("lstm")
    list(train(model, _tokens(100), TrainingOptions(1, 2, 10, 0.0, clip=1e-3)))
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))
    assert norm == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("cell", CELLS)
def test_evaluation_in_chunks_equals_one_pass(cell: str) -> None:
    model, streams = _model(cell), contiguous_streams(_tokens(2 * 600 + 1), 2)
    assert evaluate(model, streams) == pytest.approx(_whole_bits(model, streams), rel=1e-12)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary() -> None:
    model = _model("rnn")
    torch.nn.init.zeros_(model.output.weight)
    torch.nn.init.zeros_(model.output.bias)
    streams = contiguous_streams(_tokens(101), 2)
    assert evaluate(model, streams) == pytest.approx(math.log2(len(LETTERS)), rel=1e-12)


def test_the_same_seed_trains_the_same_model() -> None:
    def bits(seed: int) -> list[float]:
        options = TrainingOptions(steps=5, batch=2, unroll=8)
        return [p.bits_per_character for p in train(_model("lstm", seed), _tokens(200), options)]

    assert bits(1) == bits(1)
    assert bits(1) != bits(2)


def test_training_goes_on_only_as_long_as_it_is_asked_to() -> None:
    steps = train(_model("rnn"), _tokens(200), TrainingOptions(steps=10, batch=2, unroll=8))
    assert [p.step for p in islice(steps, 3)] == [1, 2, 3]


def test_an_epoch_has_as_many_steps_as_it_says() -> None:
    tokens = _tokens(123)
    steps = steps_per_epoch(len(tokens), batch=4, unroll=7)
    options = TrainingOptions(steps + 1, batch=4, unroll=7)
    epochs = [progress.epoch for progress in train(_model("rnn"), tokens, options)]
    assert epochs == [1] * steps + [2]


@pytest.mark.slow
@pytest.mark.parametrize("word", ["aab", "abacad", "aaab"])
def test_a_tiny_model_learns_what_pairs_cannot_tell(word: str) -> None:
    corpus = Corpus.of(word * 150)
    model = new_model(corpus.vocabulary, CharLMConfig("lstm", 1, 16, 8), seed=0)
    options = TrainingOptions(steps=200, batch=2, unroll=32, learning_rate=2e-2)
    for _ in train(model, corpus.training, options):
        pass
    bigram = Bigram(corpus.training, len(corpus.vocabulary))
    bigram_bits = bigram.bits_per_character(corpus.validation)
    assert evaluate(model, corpus.validation) < bigram_bits / 4


def test_a_text_that_fills_no_chunk_is_refused_with_the_length_it_needs() -> None:
    options = TrainingOptions(steps=1, batch=4, unroll=10)
    with pytest.raises(TextError, match="need 41 to train on, got 40"):
        train(_model("rnn"), _tokens(40), options)


def test_a_loss_that_is_no_number_ends_training() -> None:
    model = _model("rnn")
    torch.nn.init.constant_(model.output.bias, math.nan)
    with pytest.raises(TrainingError, match="diverged") as caught:
        next(train(model, _tokens(100), TrainingOptions(steps=1, batch=2, unroll=8)))
    assert "--learning-rate" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch", 0),
        ("unroll", -1),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("learning_rate", -1e-3),
        ("clip", 0.0),
        ("clip", math.nan),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(TrainingError) as caught:
        TrainingOptions(**({"steps": 1} | {name: value}))
    assert caught.value.where == name
