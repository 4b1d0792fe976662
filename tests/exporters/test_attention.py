"""Attention to a window; tests are named after the rules of `attention.py`."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from rnnedge_exporters import StreamingError

from .driver import Lambda, Streamed

pytestmark = pytest.mark.slow

SPEC = "float32[batch, time, 4]"


def apart(x):
    i = torch.arange(x.shape[1])
    return i[:, None] - i[None, :]


def attention(back, ahead=0, fill=float("-inf")):
    def forward(m, x):
        q, k, v = m.project(x).chunk(3, -1)
        seen = (apart(x) >= -ahead) & (apart(x) < back)
        scores = (q @ k.transpose(-2, -1) * 0.5).masked_fill(~seen, fill)
        return scores.softmax(-1) @ v

    return Lambda(forward, project=nn.Linear(4, 12))


def test_keys_and_values_of_the_window_are_states():
    stream = Streamed(attention(5), SPEC)
    assert stream.states["keys"] == ["batch", 4, 4]
    assert stream.states["values"] == ["batch", 4, 4]
    assert stream.output.delay == 0
    stream.check()


def test_frames_ahead_are_a_delay():
    stream = Streamed(attention(3, ahead=2), SPEC)
    assert stream.output.delay == 2
    stream.check()


def test_a_large_negative_number_hides_as_minus_infinity_does():
    assert Streamed(attention(4, fill=-1e9), SPEC).states["keys"] == ["batch", 4, 3]


def fused(m, x):
    batch, time, _ = x.shape
    q, k, v = (p.view(batch, time, 2, 2).transpose(1, 2) for p in m.project(x).chunk(3, -1))
    # In the type of the rest: PyTorch reads a mask of another type as numbers of this one.
    bias = torch.where((apart(x) >= 0) & (apart(x) < 6), 0.0, float("-inf")).to(x.dtype)
    y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return x + y.transpose(1, 2).reshape(batch, time, 4)


def fused_bool(m, x):
    ones = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
    q, k, v = m.project(x).chunk(3, -1)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=ones.tril().triu(-4))


def by_distance(m, x):
    scores = x @ x.transpose(1, 2) - 0.1 * apart(x).abs()
    hidden = (apart(x) < 0) | (apart(x) >= 5)
    return scores.masked_fill(hidden, -1e9).softmax(-1) @ x


@pytest.mark.parametrize("function", [fused, fused_bool, by_distance])
def test_fused_attention_and_biases_by_distance_stream(function):
    Streamed(Lambda(function, project=nn.Linear(4, 12)), SPEC).check(tolerance=1e-6)


@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_of_torch_streams(need_weights):
    def forward(m, x):
        hidden = (apart(x) < 0) | (apart(x) >= 5)
        return m.heads(x, x, x, attn_mask=hidden, need_weights=need_weights)[0]

    module = Lambda(forward, heads=nn.MultiheadAttention(4, 2, batch_first=True))
    Streamed(module, SPEC).check(tolerance=1e-6)


def test_frames_before_the_signal_get_no_weight():
    module = Lambda(
        lambda m, x: attention_of(m, m.look(x.transpose(1, 2)).transpose(1, 2) + 1),
        look=nn.Conv1d(4, 4, 3, padding=1),
        project=nn.Linear(4, 12),
    )
    stream = Streamed(module, SPEC)
    assert stream.output.delay == 1
    stream.check()


def attention_of(m, x):
    return attention(4).function(m, x)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: (x @ x.transpose(1, 2)).softmax(-1) @ x,
        lambda m, x: (x @ x.transpose(1, 2)).masked_fill(apart(x) < 0, -1e9).softmax(-1) @ x,
        lambda m, x: functional.scaled_dot_product_attention(x, x, x, is_causal=True),
    ],
    ids=["all frames", "all the past", "flag"],
)
def test_a_mask_that_lets_through_all_of_the_past_is_refused(function):
    with pytest.raises(StreamingError, match="without a limit") as error:
        Streamed(Lambda(function), SPEC)
    assert "i - j < window" in error.value.fix


def test_a_mask_that_is_not_the_same_on_each_diagonal_is_refused():
    def forward(m, x):
        i = torch.arange(x.shape[1])
        seen = (apart(x) >= 0) & (apart(x) < 4) & (i[None, :] != 3)
        return (x @ x.transpose(1, 2)).masked_fill(~seen, -1e9).softmax(-1) @ x

    with pytest.raises(StreamingError, match="distance of two frames alone"):
        Streamed(Lambda(forward), SPEC)


def test_a_window_is_found_at_another_rate_than_the_inputs():
    module = Lambda(
        lambda m, x: attention_of(m, m.down(x.transpose(1, 2)).transpose(1, 2)),
        down=nn.Conv1d(4, 4, 3, stride=3),
        project=nn.Linear(4, 12),
    )
    stream = Streamed(module, SPEC)
    assert stream.states["keys"] == ["batch", 4, 3]
    stream.check()
