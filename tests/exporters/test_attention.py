"""Attention to a window of time; tests are named after the rules of `attention.py`."""

import pytest
import torch
from rules import BTC, assert_refused, assert_streams, initial, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow


def apart(x):
    at = torch.arange(x.shape[1])
    return at[:, None] - at


def seen(x, back, ahead=0):
    return (apart(x) <= back) & (apart(x) >= -ahead)


def attend(m, x, back, ahead=0, fill=float("-inf")):
    query, key, value = m.parts(x).chunk(3, -1)
    scores = (query @ key.transpose(1, 2)) * 0.5
    return scores.masked_fill(~seen(x, back, ahead), fill).softmax(-1) @ value


def fused(m, x, mask):
    query, key, value = m.parts(x).chunk(3, -1)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def attention(compute, **parts):
    return streamed(compute, BTC, parts=nn.Linear(4, 12), **parts)


def heads(m, x):
    query, key, value = (
        part.unflatten(2, (2, 2)).transpose(1, 2) for part in m.parts(x).chunk(3, -1)
    )
    mask = torch.where(seen(x, 5), 0.0, float("-inf")).to(x.dtype)
    y = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return y.transpose(1, 2).flatten(2) + x


def biased(m, x):
    slope = -0.1 * apart(x).abs()
    scores = x @ x.transpose(1, 2) + slope
    return scores.masked_fill(~seen(x, 4), -1e9).softmax(-1) @ x


SCORES = {
    "scaled and masked": lambda m, x: attend(m, x, 4),
    "fused": lambda m, x: fused(m, x, seen(x, 4)),
    "fused, with heads and numbers": heads,
    "bias by distance": biased,
    "hidden by a large negative number": lambda m, x: attend(m, x, 4, fill=-1e9),
    "triangles": lambda m, x: fused(
        m, x, torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril().triu(-3)
    ),
}


@pytest.mark.parametrize("compute", SCORES.values(), ids=SCORES.keys())
def test_scores_masked_weighted_and_multiplied_are_frames_again(compute):
    assert_streams(attention(compute))


@pytest.mark.parametrize("need_weights", [False, True])
def test_torchs_own_layer_is_attention(need_weights):
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            return self.layer(x, x, x, attn_mask=~seen(x, 3), need_weights=need_weights)[0]

    assert_streams(streamed(lambda m, x: m.layer(x), BTC, layer=Layer()))


@pytest.mark.parametrize(("back", "ahead"), [(3, 0), (0, 0), (2, 2), (0, 1)])
def test_keys_and_values_of_the_window_are_states(back, ahead):
    net = assert_streams(attention(lambda m, x: attend(m, x, back, ahead)))
    past = back + ahead
    found = {name: shape for name, shape in net.states.items() if name in ("keys", "values")}
    assert found == ({"keys": ["batch", 4, past], "values": ["batch", past, 4]} if past else {})


def test_frames_before_the_signal_get_no_weight():
    net = attention(lambda m, x: attend(m, x, 4))
    assert "signal.position" in net.states
    assert not initial(net, "keys").any()
    # The first frame attends to itself alone.
    x = torch.randn(1, 9, 4, dtype=torch.float64)
    (got,) = net.chunks(x, [1] * 9)
    expected = net.module.parts(x[:, :1]).chunk(3, -1)[2]
    torch.testing.assert_close(got[:, :1], expected.detach(), rtol=0, atol=1e-10)


def test_frames_after_the_signal_get_no_weight():
    net = attention(lambda m, x: attend(m, x, 1, 3))
    assert "signal.length" in net.states
    assert_streams(net)


def test_frames_outside_of_the_signal_may_be_nan():
    def compute(m, x):
        late = m.conv(x.transpose(1, 2)).transpose(1, 2)
        mean = late.cumsum(1) / torch.arange(1, x.shape[1] + 1).unsqueeze(1)  # 0 / 0 before it
        return attend(m, mean, 2, 1)

    assert_streams(attention(compute, conv=nn.Conv1d(4, 4, 5, padding=2)))


def test_frames_ahead_are_a_delay():
    assert attention(lambda m, x: attend(m, x, 2, 3)).delay == 3


def test_attention_to_what_comes_late():
    net = attention(
        lambda m, x: attend(m, m.conv(x.transpose(1, 2)).transpose(1, 2) + 1, 3, 1),
        conv=nn.Conv1d(4, 4, 3, padding=1),
    )
    assert net.delay == 2
    assert_streams(net)


def test_a_window_is_found_at_another_rate_than_the_inputs():
    net = attention(
        lambda m, x: attend(m, m.down(x.transpose(1, 2)).transpose(1, 2), 3),
        down=nn.Conv1d(4, 4, 3, stride=3),
    )
    assert net.states["keys"] == ["batch", 4, 3]
    assert_streams(net, shortest=3)


UNLIMITED = {
    "no mask": lambda m, x: (x @ x.transpose(1, 2)).softmax(-1) @ x,
    "all of the past": lambda m, x: fused(m, x, apart(x) >= 0),
    "the causal flag": lambda m, x: functional.scaled_dot_product_attention(
        x, x, x, is_causal=True
    ),
    "none seen": lambda m, x: fused(m, x, apart(x) > 2**40),
    "over queries": lambda m, x: (
        (x @ x.transpose(1, 2)).masked_fill(~seen(x, 3), -1e9).softmax(1) @ x
    ),
    "not weighted": lambda m, x: (x @ x.transpose(1, 2)) @ x,
}


@pytest.mark.parametrize("compute", UNLIMITED.values(), ids=UNLIMITED.keys())
def test_a_mask_that_lets_through_all_of_the_past_is_refused(compute):
    assert_refused(
        "attention over time without a limit",
        compute,
        BTC,
        fix="mask the scores so that each frame attends to a fixed number of frames",
        parts=nn.Linear(4, 12),
    )


def test_a_mask_that_lets_through_all_that_follows_is_refused():
    assert_refused(
        "it attends to all frames that follow",
        lambda m, x: fused(m, x, apart(x) <= 2),
        BTC,
        fix="mask the scores",
        parts=nn.Linear(4, 12),
    )


def test_a_mask_that_is_not_the_same_on_each_diagonal_is_refused():
    def compute(m, x):
        at = torch.arange(x.shape[1])
        return fused(m, x, seen(x, 4) & (at[:, None] > 2))

    assert_refused(
        "its mask does not depend on the distance of two frames alone",
        compute,
        BTC,
        fix="mask the scores",
        parts=nn.Linear(4, 12),
    )


def test_a_mask_that_is_computed_from_the_signal_is_refused():
    assert_refused(
        "attention over time without a limit",
        lambda m, x: fused(m, x, seen(x, 4) & (x[..., :1] > 0)),
        BTC,
        fix="mask the scores",
        parts=nn.Linear(4, 12),
    )
