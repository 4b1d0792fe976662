"""Which token is drawn, and how often."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rnnedge.zoo.char_lm.sampling import Sampler
from rnnedge_runtime.errors import InputError

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))
ANY_LOGITS = arrays(np.float32, st.integers(1, 20), elements=st.floats(-1e6, 1e6, width=32))
CHI_SQUARE_999 = {1: 10.83, 2: 13.82, 3: 16.27}
"""Exceeded once in a thousand by chance, by degrees of freedom."""


def test_the_distribution_is_the_softmax_of_the_logits_over_the_temperature() -> None:
    expected = np.array([0.25, 0.0625, 0.0225, 0.01])
    probabilities = Sampler(temperature=0.5).probabilities(LOGITS)
    np.testing.assert_allclose(probabilities, expected / expected.sum(), rtol=1e-6)


def test_top_k_keeps_the_k_likeliest_in_proportion() -> None:
    probabilities = Sampler(top_k=2).probabilities(LOGITS)
    np.testing.assert_allclose(probabilities, [2 / 3, 1 / 3, 0, 0], rtol=1e-6)


def test_top_k_keeps_exactly_k_of_equals_the_first_ones() -> None:
    probabilities = Sampler(top_k=2).probabilities(np.zeros(5, np.float32))
    np.testing.assert_array_equal(probabilities, [0.5, 0.5, 0, 0, 0])


@given(ANY_LOGITS, st.integers(1, 25), st.floats(0, 1e6), st.integers(0, 2**32))
def test_for_any_logits_only_the_top_k_are_drawn(
    logits: np.ndarray, top_k: int, temperature: float, seed: int
) -> None:
    sampler = Sampler(temperature=temperature, top_k=top_k, seed=seed)
    assert sampler.probabilities(logits).sum() == pytest.approx(1, rel=1e-12)
    kept = set(np.argsort(-logits, kind="stable")[:top_k])
    assert {sampler(logits) for _ in range(20)} <= kept


@given(ANY_LOGITS, st.integers(0, 2**32))
def test_temperature_zero_takes_the_first_of_the_likeliest(logits: np.ndarray, seed: int) -> None:
    assert Sampler(temperature=0, seed=seed)(logits) == int(logits.argmax())


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-9])
def test_the_smallest_temperatures_are_greedy_and_no_nan(temperature: float) -> None:
    assert {Sampler(temperature=temperature, seed=seed)(LOGITS) for seed in range(20)} == {0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_k": 3}, [5 / 9, 2.5 / 9, 1.5 / 9, 0]),
        ({"never": (0,)}, [0, 0.5, 0.3, 0.2]),
        ({"never": (0,), "top_k": 2}, [0, 0.625, 0.375, 0]),
    ],
)
def test_draws_are_as_frequent_as_their_probability(settings, expected: list[float]) -> None:
    sampler = Sampler(**settings, seed=1)
    draws = 20_000
    counts = np.bincount([sampler(LOGITS) for _ in range(draws)], minlength=4)
    hoped = draws * np.array(expected)
    assert counts[hoped == 0].sum() == 0
    possible = hoped > 0
    chi_square = ((counts[possible] - hoped[possible]) ** 2 / hoped[possible]).sum()
    assert chi_square < CHI_SQUARE_999[possible.sum() - 1]


@pytest.mark.parametrize(("draw", "token"), [(0.0, 1), (1 - 2**-53, 2)])
def test_the_ends_of_the_random_range_draw_no_token_of_probability_zero(
    draw: float, token: int, monkeypatch
) -> None:
    sampler = Sampler(never=(0, 3))
    ends = type("Ends", (), {"random": lambda self: draw})
    monkeypatch.setattr(sampler, "_random", ends())
    assert sampler(LOGITS) == token


def test_the_same_seed_draws_the_same_tokens() -> None:
    def draws(seed: int) -> list[int]:
        sampler = Sampler(seed=seed)
        return [sampler(LOGITS) for _ in range(50)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_are_refused(broken: float) -> None:
    with pytest.raises(InputError, match="NaN or Inf"):
        Sampler()(np.array([0, broken], np.float32))


def test_at_least_one_token_must_be_allowed() -> None:
    with pytest.raises(InputError, match="fewer than all 4 tokens"):
        Sampler(never=range(4))(LOGITS)


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -0.1), ("temperature", math.nan), ("temperature", math.inf), ("top_k", 0)],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError) as caught:
        Sampler(**{name: value})
    assert caught.value.where == name
