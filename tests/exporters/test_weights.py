"""ONNX's layout of weights, against ONNX's own formulas in float64."""

import numpy as np
import pytest
import torch
from torch import nn

from rnnedge_exporters.capture.operators import GRU, LSTM, RNN
from rnnedge_exporters.lowering.weights import GATE_ORDER, pack


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def onnx_lstm(x, w, r, b, h, c):
    """https://onnx.ai/onnx/operators/onnx__LSTM.html: gates i, o, f, c; no peepholes."""
    wb, rb = np.split(b, 2)
    rows = []
    for x_t in x:
        i, o, f, g = np.split(w @ x_t + r @ h + wb + rb, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        rows.append(h)
    return np.stack(rows)


def onnx_gru(x, w, r, b, h):
    """https://onnx.ai/onnx/operators/onnx__GRU.html: gates z, r, h; linear_before_reset=1."""
    wb, rb = np.split(b, 2)
    rows = []
    for x_t in x:
        wz, wr, wh = np.split(w @ x_t + wb, 3)
        rz, rr, rh = np.split(r @ h + rb, 3)
        z, reset = sigmoid(wz + rz), sigmoid(wr + rr)
        candidate = np.tanh(wh + reset * rh)
        h = (1 - z) * candidate + z * h
        rows.append(h)
    return np.stack(rows)


def onnx_rnn(x, w, r, b, h):
    """https://onnx.ai/onnx/operators/onnx__RNN.html"""
    wb, rb = np.split(b, 2)
    rows = []
    for x_t in x:
        h = np.tanh(w @ x_t + r @ h + wb + rb)
        rows.append(h)
    return np.stack(rows)


@pytest.mark.parametrize(
    ("layer", "operator", "formula", "states"),
    [
        (nn.LSTM, LSTM, onnx_lstm, 2),
        (nn.GRU, GRU, onnx_gru, 1),
        (nn.RNN, RNN, onnx_rnn, 1),
    ],
    ids=["LSTM", "GRU", "RNN"],
)
def test_packed_weights_give_pytorchs_result_in_onnxs_formula(layer, operator, formula, states):
    torch.manual_seed(0)
    module = layer(3, 5).double()
    x = torch.randn(11, 3, dtype=torch.float64)
    weights = [p.detach() for p in module.parameters()]
    w, r, b = (t[0].numpy() for t in pack(weights, GATE_ORDER[operator], 1))
    ours = formula(x.numpy(), w, r, b, *(np.zeros(5) for _ in range(states)))
    theirs = module(x)[0].detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-14)


def test_each_direction_has_its_own_place():
    module = nn.GRU(3, 5, bidirectional=True)
    weights = [p.detach() for p in module.parameters()]
    both = pack(weights, GATE_ORDER[GRU], 2)
    for direction in (0, 1):
        alone = pack(weights[4 * direction : 4 * direction + 4], GATE_ORDER[GRU], 1)
        for packed, single in zip(both, alone, strict=True):
            assert torch.equal(packed[direction], single[0])
