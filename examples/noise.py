"""Noise for the examples, drawn from a random generator; nothing is recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.speech import SAMPLE_RATE, Wave

NOISES = ("coloured", "babble", "hum", "clicks", "fan")


def make_noise(
    kind: str, crowd: Wave, rng: np.random.Generator, length: int
) -> NDArray[np.float64]:
    """Noise of one of the `NOISES` with a power of 1, ``[time]``.

    `crowd` is a long signal of people who talk one after another, for overlapping voices.
    """
    noise = _MAKERS[kind](crowd, rng, length)
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-9)


def mix(
    clean: NDArray[np.float64], noise: NDArray[np.float64], snr_db: float
) -> NDArray[np.float64]:
    """`clean` plus `noise` at that ratio of their powers, ``[time]``."""
    ratio = 10 ** (snr_db / 20)
    scale = np.sqrt(np.mean(clean**2)) / (ratio * np.sqrt(np.mean(noise**2)) + 1e-9)
    return clean + scale * noise


def _coloured(_crowd: Wave, rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    noise = colour(rng.standard_normal(length), rng, tilt_db=(-9.0, 3.0), ripple_db=8.0)
    return noise * _wander(rng, length, 6.0)


def _babble(crowd: Wave, rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    noise = np.zeros(length)
    for _ in range(rng.integers(6, 12)):
        start = rng.integers(len(crowd))
        voice = np.take(crowd, np.arange(start, start + length), mode="wrap")
        noise += voice * rng.uniform(0.3, 1.0)
    return noise


def _hum(_crowd: Wave, rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    time = np.arange(length) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0]) * rng.uniform(0.998, 1.002)
    harmonics = np.arange(1, rng.integers(6, 30))
    strength = rng.uniform(0.1, 1.0, len(harmonics)) / harmonics ** rng.uniform(0.3, 1.2)
    phase = rng.uniform(0, 2 * np.pi, len(harmonics))
    tones = strength[:, None] * np.sin(
        2 * np.pi * base * harmonics[:, None] * time + phase[:, None]
    )
    return tones.sum(0) + 0.03 * rng.standard_normal(length)


def _clicks(_crowd: Wave, rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    noise = 0.003 * rng.standard_normal(length)
    for _ in range(rng.integers(2, 12) * length // SAMPLE_RATE + 1):
        size = int(rng.integers(80, 1600))
        time = np.arange(size) / SAMPLE_RATE
        ring = np.sin(2 * np.pi * rng.uniform(300, 5000) * time) + rng.standard_normal(size)
        start = int(rng.integers(0, max(1, length - size)))
        click = rng.uniform(0.2, 1.0) * ring * np.exp(-time * rng.uniform(60, 400))
        noise[start : start + size] += click[: length - start]
    return noise


def _fan(_crowd: Wave, rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    time = np.arange(length) / SAMPLE_RATE
    blades = rng.uniform(15, 120)
    beat = 1 + rng.uniform(0.1, 0.7) * np.sin(2 * np.pi * blades * time)
    air = colour(rng.standard_normal(length), rng, tilt_db=(-9.0, -4.0), ripple_db=4.0)
    air /= np.std(air)
    harmonics = np.arange(1, 9)[:, None]
    phase = rng.uniform(0, 2 * np.pi, (8, 1))
    tones = (np.sin(2 * np.pi * blades * harmonics * time + phase) / harmonics).sum(0)
    return air * beat + rng.uniform(0.0, 1.0) * tones


_MAKERS = {
    "coloured": _coloured,
    "babble": _babble,
    "hum": _hum,
    "clicks": _clicks,
    "fan": _fan,
}


def colour(
    signal: NDArray[np.float64],
    rng: np.random.Generator,
    tilt_db: tuple[float, float],
    ripple_db: float,
) -> NDArray[np.float64]:
    """A random filter: a tilt in dB per octave, and a smooth random curve on top."""
    octaves = np.log2(np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE).clip(40.0) / 1000)
    knots = np.linspace(octaves[0], octaves[-1], 8)
    gain_db = rng.uniform(*tilt_db) * octaves
    gain_db += np.interp(octaves, knots, rng.uniform(-ripple_db, ripple_db, 8))
    return np.fft.irfft(np.fft.rfft(signal) * 10 ** (gain_db / 20), len(signal))


def _wander(rng: np.random.Generator, length: int, depth_db: float) -> NDArray[np.float64]:
    """A level that drifts, with a new goal twice a second."""
    knots = rng.uniform(-depth_db, depth_db, length * 2 // SAMPLE_RATE + 2)
    gain_db = np.interp(np.arange(length) / (SAMPLE_RATE / 2), np.arange(len(knots)), knots)
    return 10 ** (gain_db / 20)
