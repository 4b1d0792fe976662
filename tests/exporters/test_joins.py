"""Where branches meet; tests are named after the rules of `joins.py`."""

import pytest
import torch
from rules import BCT, BTC, assert_refused, assert_streams, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow


def conv(kernel=3, **options):
    return nn.Conv1d(4, 4, kernel, **options)


def test_branches_meet_at_the_time_of_the_latest_and_the_others_wait():
    net = streamed(
        lambda m, x: torch.cat([x, m.a(x), m.b(x)], 1), a=conv(padding=1), b=conv(7, padding=3)
    )
    assert net.delay == 3
    delays = sorted(shape[2] for name, shape in net.states.items() if "delay" in name)
    assert delays == [2, 3]
    assert_streams(net)


def test_each_branch_waits_no_longer_than_until_it_is_read():
    net = streamed(
        lambda m, x: x + m.a(x) * m.b(m.c(x)),
        a=conv(padding=1),
        b=conv(5, padding=2),
        c=conv(padding=1),
    )
    assert net.delay == 3
    assert net.states["mul.delay"] == ["batch", 4, 2]
    assert net.states["add.delay"] == ["batch", 4, 3]
    assert_streams(net)


def test_what_waits_in_two_places_waits_once():
    net = streamed(lambda m, x: m.a(x) + x + m.a(x) * x, a=conv(padding=1))
    assert len([name for name in net.states if "delay" in name]) == 1
    assert_streams(net)


def test_a_branch_with_padding_before_it_is_the_early_one():
    net = streamed(
        lambda m, x: m.a(functional.pad(x, (4, 0)))[..., 2:] + m.b(functional.pad(x, (2, 0))),
        a=conv(),
        b=conv(),
    )
    assert_streams(net)


def test_what_is_the_same_in_all_frames_does_not_wait():
    net = streamed(
        lambda m, x: m.a(x) * torch.full_like(x, 0.5) + torch.ones(1, 1, x.shape[-1]),
        a=conv(padding=1),
    )
    assert not [name for name in net.states if "delay" in name]
    assert_streams(net)


def test_branches_at_different_rates_do_not_meet():
    def compute(m, x):
        y = m.down(x)
        return torch.einsum("bct,bcs->bts", x, y)

    assert_refused("", compute, down=conv(2, stride=2), fix="")


def test_frames_flattened_with_features_are_frames_at_a_higher_rate():
    net = streamed(
        lambda m, x: m.a(functional.pad(x.flatten(1)[:, None], (2, 0))), BTC, a=nn.Conv1d(1, 1, 3)
    )
    assert net.contract.outputs[0].ratio == 4
    assert_streams(net)


@pytest.mark.parametrize("late", [False, True])
def test_a_view_that_divides_frames_into_groups_waits_until_the_group_is_whole(late):
    def compute(m, x):
        x = m.a(x.unsqueeze(1)).squeeze(1) if late else x
        return m.head(x.reshape(x.shape[0], -1, 4))

    net = streamed(
        compute, "float32[batch, time]", a=nn.Conv1d(1, 1, 3, padding=1), head=nn.Linear(4, 4)
    )
    assert net.program.multiple == 4
    for frames, lengths in ((8, [8]), (24, [1] * 24), (16, [3, 9, 4])):
        x = torch.randn(2, frames, dtype=torch.float64)
        (got,), (expected,) = net.chunks(x, lengths), net.whole(x)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "compute",
    [
        lambda m, x: x + x.new_zeros(x.shape[0], x.shape[1], 1),
        lambda m, x: x.reshape(x.shape[0], x.shape[1], 2, 2).flatten(2),
        lambda m, x: x + m.bias.weight[:1].repeat(1, x.shape[1], 1),
        lambda m, x: x + m.bias.weight[:1].expand(x.shape[0], x.shape[1], 4),
        lambda m, x: x.unflatten(2, (2, 2)).sum(2),
        lambda m, x: (x.reshape(-1, 4) * 2).reshape(x.shape),
        lambda m, x: (x.reshape(-1, 4) * 2).reshape(-1, x.shape[1], 4),
    ],
)
def test_a_size_that_counts_frames_or_is_left_open_counts_those_of_the_chunk(compute):
    assert_streams(streamed(compute, BTC, bias=nn.Linear(4, 4)))


def test_zeros_like_frames_that_the_stream_does_not_have_are_of_their_shape():
    net = streamed(lambda m, x: torch.cat([torch.full_like(x[..., :2], 0.25), x], -1), BCT)
    assert_streams(net, shortest=2)


def test_the_past_of_what_is_folded_with_time_is_refused():
    assert_refused(
        "time is folded into another axis here, and the past of this tensor is needed",
        lambda m, x: x.reshape(-1, 4) + m.a(x.transpose(1, 2)).transpose(1, 2).reshape(-1, 4),
        BTC,
        fix="reshape after this operator",
        a=conv(padding=1),
    )
