"""The GRU whose reset gate comes before the product."""

import numpy as np
import pytest
import torch

from rnnedge_exporters.capture.operators import GRU_RESET_BEFORE, gru_reset_before
from rnnedge_exporters.lowering.weights import GATE_ORDER, pack


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def onnx_gru(x, w, r, b, h):
    """https://onnx.ai/onnx/operators/onnx__GRU.html: gates z, r, h; linear_before_reset=0."""
    wb, rb = np.split(b, 2)
    of_z, of_r, of_h = (np.split(m, 3) for m in (w, r, wb + rb))
    rows = []
    for x_t in x:
        z, reset = (
            sigmoid(m @ x_t + n @ h + bias)
            for m, n, bias in [(of_z[i], of_r[i], of_h[i]) for i in (0, 1)]
        )
        candidate = np.tanh(of_z[2] @ x_t + of_r[2] @ (reset * h) + of_h[2])
        h = (1 - z) * candidate + z * h
        rows.append(h)
    return np.stack(rows)


def weights(directions, with_bias=True):
    torch.manual_seed(0)
    shapes = [(12, 3), (12, 4), *([(12,), (12,)] if with_bias else [])]
    return [torch.randn(s, dtype=torch.float64) for _ in range(directions) for s in shapes]


def test_packed_weights_give_the_operators_result_in_onnxs_formula():
    x, h, given = torch.randn(9, 1, 3).double(), torch.randn(1, 1, 4).double(), weights(1)
    w, r, b = (t[0].numpy() for t in pack(given, GATE_ORDER[GRU_RESET_BEFORE], 1))
    y, last = gru_reset_before(x, h, given, False)
    expected = onnx_gru(x[:, 0].numpy(), w, r, b, h[0, 0].numpy())
    np.testing.assert_allclose(y[:, 0].numpy(), expected, atol=1e-14)
    np.testing.assert_allclose(last[0, 0].numpy(), expected[-1], atol=1e-14)


def test_the_second_direction_runs_from_the_end():
    x, h, given = torch.randn(9, 2, 3).double(), torch.randn(2, 2, 4).double(), weights(2, False)
    y, last = gru_reset_before(x, h, given, True)
    back, end = gru_reset_before(x.flip(0), h[1:], given[2:], False)
    torch.testing.assert_close(y[..., 4:], back.flip(0))
    torch.testing.assert_close(last[1:], end)


@pytest.mark.parametrize("both", [False, True])
def test_frames_after_a_rows_length_do_not_count(both):
    directions = 1 + both
    given, h = weights(directions), torch.randn(directions, 2, 4).double()
    x = torch.randn(9, 2, 3).double()
    y, last = gru_reset_before(x, h, given, both, torch.tensor([9, 4], dtype=torch.int32))
    short, end = gru_reset_before(x[:4, 1:], h[:, 1:], given, both)
    torch.testing.assert_close(y[:4, 1:], short)
    torch.testing.assert_close(last[:, 1:], end)
    assert not y[4:, 1].any()
