"""Lengths as chains of steps that round down."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnedge_exporters.streaming.length import Length, least_difference

STEPS = st.lists(st.tuples(st.integers(1, 6), st.integers(-9, 9), st.integers(1, 6)), max_size=5)


def chain(steps):
    length = Length()
    for mul, add, div in steps:
        length = length.then(mul, add, div)
    return length


@given(steps=STEPS, frames=st.integers(0, 500))
def test_steps_that_are_merged_give_the_same_number(steps, frames):
    expected = frames
    for mul, add, div in steps:
        expected = (expected * mul + add) // div
    assert chain(steps)(frames) == max(expected, 0)


@given(steps=STEPS)
def test_the_rate_is_that_of_long_signals(steps):
    length = chain(steps)
    frames = 10**12
    assert abs(length.rate - Fraction(length(frames), frames)) < Fraction(1, 10**6)


def test_a_step_that_changes_nothing_is_none():
    assert Length().then(add=3).then(add=-3) == Length()
    assert Length().then(mul=2).then(div=2) == Length()


def test_a_length_is_never_below_zero():
    assert Length().then(add=-5)(3) == 0


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([], "T"),
        ([(1, -2, 1)], "T - 2"),
        ([(1, 2, 3)], "floor((T + 2) / 3)"),
        ([(2, 0, 1)], "2*T"),
        ([(1, 0, 2), (2, 1, 1)], "2*floor(T / 2) + 1"),
    ],
)
def test_it_reads_as_a_formula(steps, text):
    assert str(chain(steps)) == text


def test_a_difference_is_measured_over_all_remainders():
    half = Length().then(div=2)
    assert least_difference(Length(), half, 2) == 0
    assert least_difference(half, Length().then(add=2, div=2), 1) == -1
