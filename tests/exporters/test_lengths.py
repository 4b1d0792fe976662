"""At which lengths a module is traced."""

import pytest
from rules import BCT, assert_streams, streamed
from torch import nn

from rnnedge_exporters.capture.call import Call
from rnnedge_exporters.capture.lengths import longer, with_lengths
from rnnedge_exporters.errors import CaptureError
from rnnedge_exporters.specs import parse_inputs


def chosen(runs):
    """The lengths for a forward that runs at lengths for which `runs` says so."""

    def attempt(sizes, call):
        if not runs(sizes["time"]):
            raise CaptureError("too short", where="forward", fix="none")

    call = with_lengths(Call(parse_inputs({"x": BCT}), ()), attempt)
    return call.example["time"], call.other["time"]


def test_the_usual_length_is_taken_when_forward_runs_at_it():
    assert chosen(lambda frames: True) == (16, 11)


@pytest.mark.parametrize(("shortest", "expected"), [(17, (64, 44)), (300, (1024, 704))])
def test_a_longer_one_is_taken_when_the_usual_is_too_short(shortest, expected):
    assert chosen(lambda frames: frames >= shortest) == expected


def test_the_other_length_is_the_first_that_forward_takes():
    assert chosen(lambda frames: frames % 4 == 0) == (16, 12)
    assert chosen(lambda frames: frames % 8 == 0) == (16, 24)
    assert chosen(lambda frames: frames % 16 == 0) == (16, 32)


def test_without_another_length_the_examples_serves():
    assert chosen(lambda frames: frames == 16) == (16, 16)


def test_forward_that_runs_at_none_is_left_to_who_runs_it_next():
    assert chosen(lambda frames: False) == (16, 11)


def test_each_further_attempt_is_at_a_longer_length():
    calls = list(longer(Call(parse_inputs({"x": BCT}), ())))
    assert [(c.example["time"], c.other["time"]) for c in calls] == [(16, 11), (64, 44), (256, 176)]


@pytest.mark.slow
def test_a_window_longer_than_the_example_streams():
    assert_streams(
        streamed(lambda m, x: m.conv(x), conv=nn.Conv1d(4, 4, 70)), shortest=70, longest=80
    )
