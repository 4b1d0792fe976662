"""Hidden units taken out: what had no effect goes first, and leaves the function as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.pruning.narrow import effects, least, without
from rnnedge.zoo.char_lm import CharLM, CharLMConfig, Vocabulary
from rnnedge.zoo.char_lm.streams import contiguous_streams

HIDDEN, IDLE = 12, {0: [1, 7, 11], 1: [0, 4, 5]}


@pytest.fixture(params=["rnn", "gru", "lstm"])
def network(request):
    """Two layers, in each of which nothing reads three of the units."""
    torch.manual_seed(0)
    model = CharLM(Vocabulary.of("abcdef" * 2), CharLMConfig(request.param, 2, HIDDEN, 5))
    with torch.no_grad():
        for layer, units in IDLE.items():
            above = model.rnn.weight_ih_l1 if layer == 0 else model.output.weight
            above[:, units] = 0
            getattr(model.rnn, f"weight_hh_l{layer}")[:, units] = 0
    return model


def test_units_that_nothing_reads_go_first_and_the_function_stays(network):
    tokens = np.random.default_rng(0).integers(0, 6, 400)
    kept = least(effects(network, contiguous_streams(tokens, 2), 20, 3), HIDDEN - 3)
    busy = [sorted(set(range(HIDDEN)) - set(units)) for units in IDLE.values()]
    assert [units.tolist() for units in kept] == busy
    x = torch.from_numpy(tokens[:100].reshape(2, 50))
    narrow = without(network, kept)
    assert narrow.config.hidden == HIDDEN - 3
    with torch.no_grad():
        torch.testing.assert_close(narrow(x)[0], network(x)[0])


def test_the_network_that_is_cut_stays_as_it_is(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    without(network, [torch.arange(4), torch.arange(4)])
    effects(network, contiguous_streams(np.arange(100) % 6, 2), 10, 2)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())
