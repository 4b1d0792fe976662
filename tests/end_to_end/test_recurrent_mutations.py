"""The comparison with PyTorch fails when gates, the reset or states are wrong by a little."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import rnnedge
from rnnedge_exporters import convert
from rnnedge_exporters.capture.operators import GRU, LSTM
from rnnedge_exporters.lowering import translation, weights
from rnnedge_exporters.streaming.writer import Writer


class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(4, 5, 2, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


def largest_error(kind):
    torch.manual_seed(0)
    module = Net(kind).eval()
    model = rnnedge.load(convert(module, {"x": "float32[batch, time, 4]"}).to_bytes())
    x = torch.randn(3, 20, 4)
    stream = model.stream(3)
    got = np.concatenate([stream.push(part.numpy()) for part in x.split(6, 1)], 1)
    return np.abs(got - module(x).detach().numpy()).max()


def gates_in(kind, order):
    return lambda patch: patch.setattr(weights, "GATE_ORDER", {**weights.GATE_ORDER, kind: order})


def reset_before_the_product(patch):
    gru = translation.op.GRU

    class Before(type(translation.op)):
        def GRU(self, *args, **kwargs):  # noqa: N802 - ONNX's name
            return gru(*args, **{**kwargs, "linear_before_reset": 0})

    patch.setattr(translation, "op", Before())


def biases_exchanged(patch):
    pack = weights.pack

    def exchanged(given, order, directions):
        w, r, b = pack(given, order, directions)
        return [w, r, torch.cat(b.chunk(2, 1)[::-1], 1)]

    patch.setattr(weights, "pack", exchanged)


def states_crossed(patch):
    """h of a layer is handed to its c, and c to its h."""
    end_state = Writer.end_state
    waiting = []

    def crossed(self, start, end):
        waiting.append((start, end))
        if len(waiting) == 2:
            (first, h), (second, c) = waiting
            waiting.clear()
            end_state(self, first, c)
            end_state(self, second, h)

    patch.setattr(Writer, "end_state", crossed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_nothing_is_wrong_when_nothing_is_broken(kind):
    assert largest_error(kind) <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutate", "kind"),
    [
        pytest.param(gates_in(LSTM, (0, 1, 2, 3)), nn.LSTM, id="PyTorch's order of LSTM gates"),
        pytest.param(gates_in(LSTM, (0, 3, 2, 1)), nn.LSTM, id="forget and cell exchanged"),
        pytest.param(gates_in(GRU, (0, 1, 2)), nn.GRU, id="PyTorch's order of GRU gates"),
        pytest.param(reset_before_the_product, nn.GRU, id="reset gate before the product"),
        pytest.param(biases_exchanged, nn.GRU, id="biases of input and state exchanged"),
        pytest.param(states_crossed, nn.LSTM, id="h and c paired crosswise"),
        pytest.param(states_crossed, nn.GRU, id="states of two layers paired crosswise"),
    ],
)
def test_the_comparison_notices(mutate, kind, monkeypatch):
    mutate(monkeypatch)
    assert largest_error(kind) > 1e-4
