"""Modules written to be called in chunks; tests are named after the rules of `as_written.py`.

What a module holds, and what depends on where chunks begin: `tests/end_to_end/test_held_state.py`.
"""

import numpy as np
import pytest
import torch
from torch import nn

import rnnedge_runtime
from rnnedge_exporters import StreamingError, convert

X = {"x": "float32[batch, time, 4]"}


class Cached(nn.Module):
    """Two causal convolutions whose caches its caller keeps; the second may skip frames."""

    def __init__(self, stride=1):
        super().__init__()
        self.a, self.b = nn.Conv1d(4, 5, 3), nn.Conv1d(5, 3, 4, stride)
        self.kept = 4 - stride

    def forward(self, x, caches):
        frames = torch.cat([caches["a"], x.transpose(1, 2)], 2)
        hidden = torch.cat([caches["b"], self.a(frames).relu()], 2)
        y = self.b(hidden).transpose(1, 2)
        return y, {"a": frames[:, :, -2:], "b": hidden[:, :, -self.kept :]}

    def states(self):
        return [f"caches: {{a: float32[batch, 4, 2], b: float32[batch, 5, {self.kept}]}}"]

    def start(self, rows):
        return {"a": torch.zeros(rows, 4, 2), "b": torch.zeros(rows, 5, self.kept)}


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_outputs_have_a_fixed_number_of_frames_per_input_frame(stride):
    torch.manual_seed(0)
    module = Cached(stride).eval()
    converted = convert(module, X, states=module.states())
    assert converted.contract.chunk_multiple == stride
    assert converted.contract.outputs[0].ratio * stride == 1
    assert [state.name for state in converted.contract.states] == ["caches.a", "caches.b"]
    x = np.random.default_rng(0).standard_normal((2, 12 * stride, 4), dtype=np.float32)
    stream = rnnedge_runtime.load(converted.to_bytes()).stream(2)
    ends = (1, 4, 5, 11, 12 * stride)
    parts = [stream.push(x[:, a:b]) for a, b in zip((0, *ends), ends, strict=False)]
    with torch.no_grad():
        expected, _ = module(torch.from_numpy(x), module.start(2))
    np.testing.assert_allclose(np.concatenate(parts, 1), expected.numpy(), atol=1e-6)


class Mean(nn.Module):
    """No chunk gives what the whole gives."""

    def forward(self, x, count):
        return x - x.mean(1, keepdim=True), count + 0 * x.sum((1, 2)).reshape(-1, 1)


def test_chunks_that_give_something_else_are_refused_with_the_reason_of_the_analysis():
    with pytest.raises(StreamingError, match="something else in chunks than in one call") as error:
        convert(Mean(), X, states=["count: float32[batch, 1]"])
    assert "test_as_written.py" in error.value.where


def test_rows_that_see_each_other_are_refused():
    class Mixes(Cached):
        def forward(self, x, caches):
            return super().forward(x - x.mean(0, keepdim=True), caches)

    with pytest.raises(StreamingError, match="mixes the rows"):
        convert(Mixes(), X, states=Mixes().states())
