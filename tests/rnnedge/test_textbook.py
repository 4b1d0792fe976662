"""The textbook's cells against their formulas, in float64, and as ONNX's own operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import rnnedge
from rnnedge.zoo.textbook import GRU, LSTM, Elman, ElmanNetwork

INPUTS, HIDDEN = 3, 5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numbers(module):
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def elman(module, x, h):
    p = numbers(module)
    for x_t in x:
        h = np.tanh(p["w"] @ x_t + p["u"] @ h + p["b"])
        yield h


def lstm(module, x, h, c):
    p = numbers(module)
    for x_t in x:
        both = np.concatenate([h, x_t])
        f, i, o = (sigmoid(p[f"w_{gate}"] @ both + p[f"b_{gate}"]) for gate in "fio")
        c = f * c + i * np.tanh(p["w_c"] @ both + p["b_c"])
        h = o * np.tanh(c)
        yield h


def gru(module, x, h):
    p = numbers(module)
    for x_t in x:
        z, r = (sigmoid(p[f"w_{g}"] @ np.concatenate([h, x_t]) + p[f"b_{g}"]) for g in "zr")
        n = np.tanh(p["w_n"] @ np.concatenate([r * h, x_t]) + p["b_n"])
        h = (1 - z) * h + z * n
        yield h


CELLS = [(Elman, elman, 1), (LSTM, lstm, 2), (GRU, gru, 1)]
IDS = ["Elman", "LSTM", "GRU"]


def made(kind, *sizes):
    torch.manual_seed(0)
    module = kind(*sizes)
    for parameter in module.parameters():  # no bias is zero
        torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


@pytest.mark.parametrize(("kind", "formula", "states"), CELLS, ids=IDS)
def test_a_cell_is_its_formula(kind, formula, states):
    module = made(kind, INPUTS, HIDDEN).double()
    x = torch.randn(2, 9, INPUTS, dtype=torch.float64)
    given = [torch.randn(2, HIDDEN, dtype=torch.float64) for _ in range(states)]
    y, _ = module(x, given[0] if states == 1 else tuple(given))
    for row in range(2):
        expected = np.stack(list(formula(module, x[row].numpy(), *(s[row].numpy() for s in given))))
        np.testing.assert_allclose(y[row].detach().numpy(), expected, rtol=0, atol=1e-14)


def test_the_lstm_on_the_concatenation_is_torchs_with_its_matrices_side_by_side():
    ours = made(LSTM, INPUTS, HIDDEN).double()
    theirs = torch.nn.LSTM(INPUTS, HIDDEN, batch_first=True).double()
    gates = [(getattr(ours, f"w_{g}"), getattr(ours, f"b_{g}")) for g in "ifco"]
    with torch.no_grad():
        theirs.weight_hh_l0.copy_(torch.cat([w[:, :HIDDEN] for w, _ in gates]))
        theirs.weight_ih_l0.copy_(torch.cat([w[:, HIDDEN:] for w, _ in gates]))
        theirs.bias_ih_l0.copy_(torch.cat([b for _, b in gates]))
        theirs.bias_hh_l0.zero_()
    x = torch.randn(2, 9, INPUTS, dtype=torch.float64)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=0, atol=1e-14)


def test_the_networks_outputs_are_probabilities_of_its_hidden_states():
    network = made(ElmanNetwork, INPUTS, HIDDEN, 4).double()
    x = torch.randn(1, 6, INPUTS, dtype=torch.float64)
    p = numbers(network)
    hidden = np.stack(list(elman(network.recurrent, x[0].numpy(), np.zeros(HIDDEN))))
    scores = np.exp(hidden @ p["v"].T + p["c"])
    expected = scores / scores.sum(-1, keepdims=True)
    np.testing.assert_allclose(network(x)[0][0].detach().numpy(), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "operator"), [(Elman, "RNN"), (LSTM, "LSTM"), (GRU, "GRU")], ids=IDS
)
@pytest.mark.slow
def test_a_cell_is_exported_as_one_operator_and_proven(kind, operator, tmp_path: Path):
    path = tmp_path / "cell.onnx"
    result = rnnedge.export(
        made(kind, INPUTS, HIDDEN), path, inputs=[f"x: float32[batch, time, {INPUTS}]"]
    )
    assert result.parity is not None
    assert result.parity.passed
    nodes = onnx.load(path).graph.node
    kinds = [node.op_type for node in nodes]
    assert kinds.count(operator) == 1
    assert not {"Scan", "Loop", "MatMul", "Gemm", "Concat", "Split"} & set(kinds)
    if operator == "GRU":
        (node,) = (node for node in nodes if node.op_type == "GRU")
        attributes = {a.name: a.i for a in node.attribute}
        assert attributes.get("linear_before_reset", 0) == 0
