"""Gated linear attention as one operator; tests are named after the rules of the pass."""

import numpy as np
import pytest
import torch
from torch import nn

import rnnedge
import rnnedge_runtime
from rnnedge_exporters import convert

pytestmark = pytest.mark.slow

X = {"x": "float32[batch, time, 6]"}


class Attention(nn.Module):
    """The recurrence by a scan of its own, with what a test changes."""

    def __init__(self, *, gate=torch.exp, shown=False, read=-2):
        super().__init__()
        torch.manual_seed(3)
        self.parts = nn.ModuleList(nn.Linear(6, 8) for _ in range(4))
        self.gate, self.shown, self.read = gate, shown, read

    def forward(self, x):
        q, k, v, g = (part(x).unflatten(-1, (2, 4)) for part in self.parts)
        kept = self.gate(-nn.functional.softplus(g)).unsqueeze(-1).expand(-1, -1, -1, -1, 4)
        written = k.unsqueeze(-1) * v.unsqueeze(-2)

        def step(frame, state):
            state = frame[0] * state + frame[1]
            return state, state

        start = torch.zeros(x.shape[0], 2, 4, 4)
        states, _ = rnnedge.scan(step, (kept, written), start)
        y = (states * q.unsqueeze(-1)).sum(self.read).flatten(-2)
        return (y, states) if self.shown else y


def operators(module):
    converted = convert(module.eval(), X)
    return converted, [node.op_type for node in converted.model.graph]


def test_kept_written_and_read_in_that_way_are_one_operator():
    module = Attention()
    converted, found = operators(module)
    assert "LinearAttention" in found
    assert "Scan" not in found
    x = np.random.default_rng(0).standard_normal((2, 40, 6), dtype=np.float32)
    stream = rnnedge_runtime.load(converted.to_bytes()).stream(2)
    got = np.concatenate([stream.push(part) for part in np.split(x, (1, 2, 9, 30), 1)], 1)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"gate": torch.sigmoid}, {"read": -1}, {"shown": True}],
    ids=["another gate", "read along values", "states read by others"],
)
def test_anything_else_stays_a_scan_and_right(change):
    module = Attention(**change)
    converted, found = operators(module)
    assert "LinearAttention" not in found
    x = np.random.default_rng(0).standard_normal((2, 12, 6), dtype=np.float32)
    outputs = rnnedge_runtime.load(converted.to_bytes()).run(x).outputs
    with torch.no_grad():
        expected = module(torch.from_numpy(x))
    expected = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_allclose(next(iter(outputs.values())), expected.numpy(), atol=1e-5)
