"""Sums and extremes from the start on; tests are named after the rules of `accumulation.py`."""

import pytest
import torch
from rules import BTC, assert_refused, assert_streams, initial, streamed
from torch import nn
from torch.nn import functional

pytestmark = pytest.mark.slow

FORMS = {
    "cumsum": lambda x: x.cumsum(-1),
    "cumprod": lambda x: (x * 0.1 + 1).cumprod(-1),
    "cummax": lambda x: x.cummax(-1)[0],
    "cummin": lambda x: x.cummin(-1).values,
}
FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@pytest.mark.parametrize("name", FORMS)
def test_it_goes_on_from_the_total_so_far(name):
    net = assert_streams(streamed(lambda m, x: FORMS[name](x)))
    assert net.states == {f"{name}.total": ["batch", 4, 1]}


@FORM
def test_frames_before_the_signal_count_for_nothing(form):
    net = streamed(lambda m, x: form(m.conv(x)), conv=nn.Conv1d(4, 4, 3, padding=1))
    assert "signal.position" in net.states
    assert_streams(net)


@pytest.mark.parametrize(
    ("form", "neutral"), [("cumsum", 0), ("cumprod", 1), ("cummax", -torch.inf)]
)
def test_it_starts_from_the_neutral_element(form, neutral):
    net = streamed(lambda m, x: FORMS[form](x))
    assert (initial(net, f"{form}.total") == neutral).all()


@FORM
def test_it_starts_from_what_is_accumulated_over_padding(form):
    net = streamed(
        lambda m, x: m.conv(form(functional.pad(x, (2, 0), value=0.75))), conv=nn.Conv1d(4, 4, 3)
    )
    assert net.delay == 0
    assert_streams(net)


def test_padding_that_is_cut_off_again_has_been_accumulated():
    net = streamed(lambda m, x: functional.pad(x, (3, 0), value=1.0).cumsum(-1)[..., 3:])
    assert (initial(net, "cumsum.total") == 3).all()
    assert net.delay == 0
    assert_streams(net)


def test_along_another_axis_it_is_left_alone():
    assert assert_streams(streamed(lambda m, x: x.cumsum(-1), BTC)).states == {}


def test_a_running_mean_needs_positions():
    net = streamed(
        lambda m, x: x.cumsum(1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[None, :, None],
        BTC,
    )
    assert {"cumsum.total", "signal.shared_position"} <= set(net.states)
    assert_streams(net)


def test_where_the_extreme_was_found_is_refused():
    assert_refused(
        "where it found the extreme is counted from the start of the signal",
        lambda m, x: x.cummax(-1)[1],
        fix="use the values only",
    )


def test_extremes_of_integers_are_refused():
    assert_refused(
        "it compares torch.int64",
        lambda m, x: x.long().cummax(-1)[0],
        fix="convert to float before it",
    )
