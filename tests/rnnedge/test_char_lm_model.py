"""The network computes the formulas of its docstring."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnedge.zoo.char_lm.model import CharLM, CharLMConfig, new_model
from rnnedge.zoo.char_lm.vocabulary import Vocabulary
from rnnedge_runtime.errors import InputError

LETTERS = Vocabulary.of("abcdeabcde")
CELLS = ("rnn", "gru", "lstm")


def _model(cell: str, **sizes) -> CharLM:
    config = CharLMConfig(cell, **({"layers": 1, "hidden": 5, "embedding": 3} | sizes))
    return new_model(LETTERS, config, seed=3).double().eval()


def _step(cell: str, model: CharLM, x: np.ndarray, h: np.ndarray, c: np.ndarray):
    """One step of layer 0 for one character, written from the formulas, in float64."""
    names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
    w_ih, b_ih, w_hh, b_hh = (getattr(model.rnn, name).detach().numpy() for name in names)
    read, recalled = w_ih @ x + b_ih, w_hh @ h + b_hh
    if cell == "rnn":
        return np.tanh(read + recalled), c
    read, recalled = read.reshape(-1, len(h)), recalled.reshape(-1, len(h))
    if cell == "gru":
        r, z = _sigmoid(read[:2] + recalled[:2])
        n = np.tanh(read[2] + r * recalled[2])
        return (1 - z) * n + z * h, c
    i, f, _, o = _sigmoid(read + recalled)
    c = f * c + i * np.tanh(read[2] + recalled[2])
    return o * np.tanh(c), c


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("embedding", [3, None])
def test_logits_equal_the_formulas_in_float64(cell: str, embedding: int | None) -> None:
    model = _model(cell, embedding=embedding)
    table = np.eye(len(LETTERS)) if embedding is None else model.embedding.weight.detach().numpy()
    w_o, b_o = (parameter.detach().numpy() for parameter in model.output.parameters())
    tokens = [1, 4, 2, 2, 0, 5]
    h = c = np.zeros(5)
    expected = []
    for token in tokens:
        h, c = _step(cell, model, table[token], h, c)
        expected.append(w_o @ h + b_o)
    logits, _ = model(torch.tensor([tokens]))
    np.testing.assert_allclose(logits[0].detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_no_state_means_zeros_and_state_carries_between_chunks(cell: str) -> None:
    model = _model(cell, layers=2)
    tokens = torch.randint(len(LETTERS), (3, 7), generator=torch.Generator().manual_seed(1))
    whole, end = model(tokens)
    zeros = torch.zeros(2, 3, 5, dtype=torch.float64)
    first, between = model(tokens[:, :4], (zeros, zeros) if cell == "lstm" else zeros)
    second, last = model(tokens[:, 4:], between)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, end, rtol=1e-12, atol=1e-12)


def test_outputs_have_the_documented_shapes() -> None:
    logits, state = _model("lstm", layers=2)(torch.zeros(3, 7, dtype=torch.int64))
    assert logits.shape == (3, 7, len(LETTERS))
    assert [part.shape for part in state] == [(2, 3, 5), (2, 3, 5)]


def test_a_softmax_of_the_logits_sums_to_one() -> None:
    logits, _ = _model("gru")(torch.arange(6).reshape(2, 3))
    sums: Tensor = logits.softmax(dim=-1).sum(dim=-1)
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=1e-12, atol=0)


def test_the_seed_alone_decides_the_first_weights() -> None:
    config = CharLMConfig(hidden=4)
    torch.manual_seed(1)
    one = new_model(LETTERS, config, seed=7)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after), "torch's own random numbers were used up"
    two, other = new_model(LETTERS, config, seed=7), new_model(LETTERS, config, seed=8)
    assert torch.equal(one.output.weight, two.output.weight)
    assert not torch.equal(one.output.weight, other.output.weight)


@pytest.mark.parametrize(
    ("field", "value"), [("cell", "mamba"), ("layers", 0), ("hidden", -1), ("embedding", 0)]
)
def test_impossible_shapes_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        CharLMConfig(**{field: value})
    assert caught.value.where == field
