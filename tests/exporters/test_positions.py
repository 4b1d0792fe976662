"""Positions counted along time; tests are named after the rules of `positions.py`."""

import pytest
import torch
from rules import BTC, assert_refused, assert_streams, streamed
from torch import nn

from rnnedge_exporters.errors import CaptureError

pytestmark = pytest.mark.slow


def counted(start, step):
    def compute(m, x):
        at = torch.arange(start, start + step * x.shape[1], step)
        return x + at.to(x.dtype)[None, :, None]

    return compute


def test_it_goes_on_counting_from_the_frames_run_so_far():
    net = assert_streams(streamed(counted(0, 1), BTC))
    # One count for all rows.
    assert net.states == {"signal.shared_position": [1]}
    assert net.contract.states[0].batch_axis is None


@pytest.mark.parametrize(("start", "step"), [(3, 1), (-2, 3), (0, 2)])
def test_it_may_start_at_any_number_and_go_by_any_step(start, step):
    assert_streams(streamed(counted(start, step), BTC))


def test_positions_of_half_as_many_frames():
    def compute(m, x):
        y = m.conv(x)
        return y + torch.arange(y.shape[-1], dtype=x.dtype)

    net = streamed(compute, conv=nn.Conv1d(4, 4, 2, 2))
    assert_streams(net, shortest=2)


def test_positions_meet_frames_that_come_late():
    net = streamed(
        lambda m, x: m.conv(x) + torch.arange(x.shape[-1], dtype=x.dtype),
        conv=nn.Conv1d(4, 4, 3, padding=1),
    )
    assert_streams(net)


def test_a_table_of_positions_has_an_end_and_a_stream_has_none():
    with pytest.raises(CaptureError, match=r"at most 1000(.|\n)*rounded up"):
        streamed(lambda m, x: x + m.table.weight[: x.shape[1]], BTC, table=nn.Linear(4, 1000))


def test_counting_from_the_end_is_refused():
    assert_refused(
        "it counts from the end of the signal, or by its length",
        lambda m, x: x + torch.arange(x.shape[1], 2 * x.shape[1], dtype=x.dtype)[None, :, None],
        BTC,
        fix="count from a number, by a number",
    )
