"""The modern recurrences: against their formulas, in parallel and in steps, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnedge.zoo.modern import (
    LRU,
    SLSTM,
    CfC,
    GatedLinearAttention,
    MinGRU,
    MinLSTM,
    SelectiveSSM,
)
from rnnedge.zoo.modern.lru import times
from rnnedge.zoo.modern.scans import parallel_scan

INPUTS, HIDDEN = 3, 4
LAYERS = [MinGRU, MinLSTM, LRU, SelectiveSSM, GatedLinearAttention, SLSTM, CfC]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def made(kind):
    torch.manual_seed(0)
    return kind(INPUTS, HIDDEN).double().eval()


def signal(frames=11, batch=2):
    return torch.randn(batch, frames, INPUTS, dtype=torch.float64)


@settings(max_examples=30, deadline=None, database=None, derandomize=True)
@given(frames=st.integers(1, 70), batch=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_parallel_scan_is_the_loop(frames, batch, seed):
    torch.manual_seed(seed)
    a, b = torch.randn(2, batch, frames, 2, dtype=torch.float64)
    h = torch.randn(batch, 2, dtype=torch.float64)
    expected, last = [], h
    for t in range(frames):
        last = a[:, t] * last + b[:, t]
        expected.append(last)
    torch.testing.assert_close(
        parallel_scan(a, b, h), torch.stack(expected, 1), rtol=1e-9, atol=1e-9
    )


def test_pairs_multiply_as_complex_numbers():
    a, b = torch.randn(2, 5, 2, dtype=torch.float64)
    expected = torch.view_as_complex(a) * torch.view_as_complex(b)
    torch.testing.assert_close(torch.view_as_complex(times(a, b)), expected, **EXACT)


@pytest.mark.parametrize("kind", LAYERS)
def test_training_in_parallel_and_running_in_steps_are_one_function(kind):
    layer, x = made(kind), signal(37)
    _, state = layer(signal(5))
    ours, theirs = (layer.train(mode)(x, state) for mode in (True, False))
    for mine, other in zip(
        *(torch.utils._pytree.tree_leaves(result) for result in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(mine, other, **EXACT)


@pytest.mark.parametrize("kind", [k for k in LAYERS if k is not SelectiveSSM])
def test_a_state_handed_on_continues_the_sequence(kind):
    layer, x = made(kind), signal()
    first, state = layer(x[:, :4])
    second, _ = layer(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), layer(x)[0], **EXACT)


def test_mingru_is_its_formula():
    layer, x = made(MinGRU), signal()
    h = torch.zeros(2, HIDDEN, dtype=torch.float64)
    for t in range(x.shape[1]):
        z = torch.sigmoid(layer.gate(x[:, t]))
        h = (1 - z) * h + z * layer.candidate(x[:, t])
    torch.testing.assert_close(layer(x)[1], h, **EXACT)


def test_minlstm_is_its_formula():
    layer, x = made(MinLSTM), signal()
    h = torch.zeros(2, HIDDEN, dtype=torch.float64)
    for t in range(x.shape[1]):
        f, i = torch.sigmoid(layer.forget(x[:, t])), torch.sigmoid(layer.input(x[:, t]))
        h = (f * h + i * layer.candidate(x[:, t])) / (f + i)
    torch.testing.assert_close(layer(x)[1], h, **EXACT)


def test_the_lru_is_its_formula_in_complex_numbers():
    torch.manual_seed(0)
    layer = LRU(HIDDEN, HIDDEN, 6).double().eval()
    x = torch.randn(2, 9, HIDDEN, dtype=torch.float64)
    eigenvalues = torch.exp(torch.complex(-torch.exp(layer.nu), torch.exp(layer.theta)))
    b = torch.complex(layer.b[:6], layer.b[6:])
    # Scores are Re(C s) with C's imaginary part stored with a minus.
    c = torch.complex(layer.c[:, :6], -layer.c[:, 6:])
    scale = (1 - eigenvalues.abs() ** 2).sqrt()
    s, rows = torch.zeros(2, 6, dtype=torch.complex128), []
    for t in range(9):
        s = eigenvalues * s + scale * (x[:, t].to(torch.complex128) @ b.T)
        rows.append((s @ c.T).real + layer.d * x[:, t])
    torch.testing.assert_close(layer(x)[0], torch.stack(rows, 1), **EXACT)


def test_the_selective_state_space_is_its_formula_for_each_channel():
    layer, x = made(SelectiveSSM), signal(7, 1)
    of_x = layer.of_input(x)[0]
    past = torch.cat([of_x.new_zeros(3, HIDDEN), of_x])
    kernel = layer.convolution.weight[:, 0]
    rows, s = [], torch.zeros(HIDDEN, 8, dtype=torch.float64)
    for t in range(7):
        u = torch.stack([past[t : t + 4, d] @ kernel[d] for d in range(HIDDEN)])
        u = torch.nn.functional.silu(u + layer.convolution.bias)
        step = torch.log1p(torch.exp(layer.of_step(u)))
        b, c = layer.of_b(u), layer.of_c(u)
        y = torch.empty(HIDDEN, dtype=torch.float64)
        for d in range(HIDDEN):
            s[d] = torch.exp(-step[d] * torch.exp(layer.a_log[d])) * s[d] + step[d] * b * u[d]
            y[d] = c @ s[d] + layer.d[d] * u[d]
        gate = layer.gate(x[0, t])
        rows.append(layer.output(y * gate * torch.sigmoid(gate)))
        s = s.detach()
    torch.testing.assert_close(layer(x)[0][0], torch.stack(rows), rtol=1e-10, atol=1e-10)


def test_gated_linear_attention_is_attention_with_decayed_weights():
    """Its parallel form: o_t = sum over s <= t of (q_t . (decay from s to t) k_s) v_s."""
    layer, x = made(GatedLinearAttention), signal(6, 1)
    q, k, v, a = (
        part(x)[0].unflatten(-1, (4, 1))
        for part in (layer.query, layer.key, layer.value, layer.keep)
    )
    alpha = torch.sigmoid(a) ** (1 / 16)
    rows = []
    for t in range(6):
        total = torch.zeros_like(q[0])
        for s in range(t + 1):
            decay = alpha[s + 1 : t + 1].prod(0)
            total = total + (q[t] * decay * k[s]).sum(-1, keepdim=True) * v[s]
        rows.append(total)
    o = torch.stack(rows).unsqueeze(0)
    gate = layer.gate(x)
    expected = layer.output(layer.norm(o).flatten(-2) * gate * torch.sigmoid(gate))
    torch.testing.assert_close(layer(x)[0], expected, rtol=1e-9, atol=1e-9)


def test_the_slstm_is_its_formula_without_the_stabiliser():
    layer, x = made(SLSTM), signal()
    h, c, n = torch.zeros(3, 2, HIDDEN, dtype=torch.float64)
    for t in range(x.shape[1]):
        i, f, z, o = (layer.of_x(x[:, t]) + layer.of_h(h)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(z)
        n = torch.sigmoid(f) * n + torch.exp(i)
        h = torch.sigmoid(o) * c / n
    torch.testing.assert_close(layer(x)[1][0], h, rtol=1e-10, atol=1e-10)


def test_the_cfc_goes_from_one_end_to_the_other_as_time_passes():
    """At τ = 0 it is the mean of both ends; after long it is the one that the sign of f says."""
    layer, x = made(CfC), signal(1)
    f, g, k = layer.heads(torch.tanh(layer.of_x(x[:, 0]))).chunk(3, -1)
    layer.elapsed = 0.0
    torch.testing.assert_close(layer(x)[1], (torch.tanh(g) + torch.tanh(k)) / 2, **EXACT)
    layer.elapsed = 1e6
    torch.testing.assert_close(layer(x)[1], torch.tanh(torch.where(f < 0, g, k)), **EXACT)


def test_the_lrus_eigenvalues_lie_inside_of_the_unit_circle():
    layer = made(LRU)
    assert (torch.exp(-torch.exp(layer.nu)) < 1).all()
    assert (torch.exp(layer.theta) <= math.pi).all()
