"""What reads a window of time; tests are named after the rules of `windows.py` and `edges.py`."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from rnnedge_exporters import StreamingError

from .driver import Lambda, Streamed

SPEC = "float32[batch, 4, time]"


def conv(span=3, **more):
    return nn.Conv1d(4, 4, span, **more)


@pytest.mark.parametrize(
    ("module", "delay", "context"),
    [
        (Lambda(lambda m, x: m.c(functional.pad(x, (4, 0))), c=conv(3, dilation=2)), 0, 4),
        (Lambda(lambda m, x: m.c(x), c=conv(5, padding=2)), 2, 4),
        (Lambda(lambda m, x: m.c(x), c=conv(4, padding="same")), 2, 3),
        (Lambda(lambda m, x: m.c(x), c=conv(3)), 2, 2),
        (Lambda(lambda m, x: m.c(functional.pad(x, (2, 0))), c=conv(4, stride=2)), 0, 2),
        (Lambda(lambda m, x: m.c(x)[..., :-4], c=conv(3, dilation=2, padding=4)), 0, 4),
    ],
    ids=["causal", "both sides", "same", "unpadded", "stride", "chomp"],
)
def test_the_delay_is_the_smallest_and_the_context_no_longer_than_needed(module, delay, context):
    stream = Streamed(module, SPEC)
    assert stream.output.delay == delay
    assert stream.states["c.context"] == ["batch", 4, context]
    stream.check()


def test_contexts_start_with_what_the_program_computes_from_padding_alone():
    module = Lambda(
        lambda m, x: m.b(m.a(functional.pad(x, (6, 0))).tanh()), a=conv(3), b=conv(3, dilation=2)
    )
    stream = Streamed(module, SPEC)
    assert stream.states == {"a.context": ["batch", 4, 2], "b.context": ["batch", 4, 4]}
    assert stream.output.delay == 0
    assert [state.tensor is None for state in stream.contract.states] == [True, False]
    stream.check(tolerance=1e-7)  # the file holds the content in float32


def test_padding_stands_where_frames_that_are_no_part_of_the_signal_would_be_read():
    module = Lambda(lambda m, x: m.b(m.a(x).tanh() + 1), a=conv(3, padding=1), b=conv(padding=1))
    stream = Streamed(module, SPEC)
    assert stream.output.delay == 2
    assert {s.kind for s in stream.contract.states} == {"context", "position", "length"}
    stream.check()


def test_a_causal_model_counts_no_frames():
    module = Lambda(lambda m, x: m.c(x)[..., :-2], c=conv(3, padding=2))
    assert list(Streamed(module, SPEC).states) == ["c.context"]


def test_taps_that_are_zero_at_an_end_are_not_read():
    layer = conv(5)
    with torch.no_grad():
        layer.weight[..., :1] = layer.weight[..., 3:] = 0
    stream = Streamed(Lambda(lambda m, x: m.c(functional.pad(x, (4, 0))), c=layer), SPEC)
    # Two taps, one frame apart; the younger of them is two frames old.
    assert stream.states == {"c.context": ["batch", 4, 1], "c.delay": ["batch", 4, 2]}
    stream.check()


@pytest.mark.parametrize(
    "module",
    [
        Lambda(lambda m, x: functional.max_pool1d(functional.pad(x, (2, 0)), 3, 1)),
        Lambda(lambda m, x: functional.max_pool1d(x, 3, 1, padding=1)),
        Lambda(lambda m, x: functional.avg_pool1d(functional.max_pool1d(x, 2), 2)),
        Lambda(lambda m, x: functional.pad(x, (3, 0)).unfold(2, 4, 1).amax(-1)),
        Lambda(lambda m, x: x.unfold(2, 4, 2).mean(-1)),
        Lambda(
            lambda m, x: m.c(functional.pad(x.unsqueeze(1), (2, 0, 1, 1))).flatten(1, 2),
            c=nn.Conv2d(1, 3, 3),
        ),
        Lambda(
            lambda m, x: m.c(x[:, None, :, None])[..., 0, :].flatten(1, 2)[..., :-2],
            c=nn.Conv3d(1, 2, (3, 1, 3), padding=(1, 0, 2)),
        ),
    ],
    ids=["max", "max both sides", "pools", "unfold", "unfold step", "2-d", "3-d"],
)
def test_pools_unfolding_and_more_dimensions_keep_their_past(module):
    Streamed(module, SPEC).check()


@pytest.mark.parametrize(
    ("mode", "sides", "delay"),
    [
        ("replicate", (2, 0), 0),
        ("replicate", (1, 1), 1),
        ("reflect", (2, 2), 2),
        ("reflect", (1, 1), 1),
    ],
)
def test_a_window_waits_for_the_frames_that_are_mirrored(mode, sides, delay):
    module = Lambda(
        lambda m, x: m.c(functional.pad(x, sides, mode=mode).tanh()), c=conv(sum(sides) + 1)
    )
    stream = Streamed(module, SPEC)
    assert stream.output.delay == delay
    stream.check()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Lambda(lambda m, x: functional.max_pool1d(x, 3, 2, ceil_mode=True)), "rounded up"),
        (
            Lambda(lambda m, x: functional.avg_pool1d(x, 3, 1, 1, count_include_pad=False)),
            "leaves the padding out",
        ),
        (Lambda(lambda m, x: functional.pad(x, (2, 0), mode="reflect")), "the signal's own frames"),
        (
            Lambda(lambda m, x: m.c(functional.pad(x, (2, 0), mode="circular")), c=conv()),
            "circular",
        ),
    ],
)
def test_windows_that_cannot_be_exact_are_refused(module, reason):
    with pytest.raises(StreamingError, match=reason):
        Streamed(module, SPEC)
