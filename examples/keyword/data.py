"""Spoken words in noise, as log-mel frames with a label for each.

Keywords, other words (some of them close to a keyword) and sentences follow each other with pauses,
over noise, as a device on a shelf would hear them. All of it is synthesised (`examples.speech`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.keyword.model import KEYWORDS, MELS
from examples.noise import NOISES, colour, make_noise, mix
from examples.speech import (
    SAMPLE_RATE,
    TEST_VARIANTS,
    TRAIN_VARIANTS,
    Wave,
    random_voice,
    resample,
    say,
)

WINDOW, HOP = 480, 320  # samples: 30 ms, every 20 ms
FRAME_RATE = SAMPLE_RATE // HOP
IGNORE = -100
"""The label of frames of which nothing is asked: a keyword has begun, but is not over."""

LANGUAGES = ("en-us", "en", "en-gb-scotland", "en-029", "en-gb-x-rp")

_OTHER_TEXT = """
yell yet guess less best nose note snow cup pup upper cop dawn town gown loft lift laugh let light
ride rice road own one want of often cough soft top stock shop step store slow ghost coat goal
grow water window music garden seven eleven hello table orange computer morning kitchen open close
lamp radio louder quiet weather tomorrow timer alarm coffee number twenty please thank volume
television paper river mountain yellow purple elephant holiday birthday telephone library station
bread butter summer winter banana children mother father brother sister question answer
"""
OTHER_WORDS = _OTHER_TEXT.split()


@dataclass(frozen=True)
class Bank:
    """Spoken words to draw from.

    Attributes:
        keywords: for every keyword its recordings, each ``[time]``.
        others: other words and short sentences, each ``[time]``.
        crowd: talk for the noise, ``[time]``.
    """

    keywords: list[list[Wave]]
    others: list[Wave]
    crowd: Wave


def make_bank(seed: int, count: int, *, test: bool = False) -> Bank:
    """Speaks every keyword `count` times, other words twenty times as often.

    Training voices are stretched by up to an eighth as well, so that no two are of the same mouth.
    """
    rng = np.random.default_rng([seed, int(test)])
    variants = TEST_VARIANTS if test else TRAIN_VARIANTS

    def speak(text: str) -> Wave:
        wave = say(text, random_voice(rng, variants, LANGUAGES))
        return wave if test else resample(wave, int(SAMPLE_RATE * rng.uniform(0.88, 1.13)))

    keywords = [[speak(word) for _ in range(count)] for word in KEYWORDS]
    sizes = rng.choice([1, 1, 1, 3, 5], 20 * count)
    others = [speak(" ".join(rng.choice(OTHER_WORDS, size))) for size in sizes]
    return Bank(keywords, others, np.concatenate(others[: 4 * count]))


@dataclass(frozen=True)
class Recording:
    """What a microphone heard.

    Attributes:
        wave: ``[time]``.
        words: for every keyword in it its class (1 for the first of `KEYWORDS`) and its first and
            last sample.
    """

    wave: Wave
    words: list[tuple[int, int, int]]


def make_recording(
    bank: Bank, rng: np.random.Generator, seconds: float, *, share: float = 0.5
) -> Recording:
    """Draws a recording; a `share` of what is said are keywords."""
    length = round(seconds * SAMPLE_RATE)
    clean = np.zeros(length)
    words = []
    at = int(rng.integers(SAMPLE_RATE // 10, SAMPLE_RATE // 2))
    while True:
        kind = int(rng.integers(1, len(KEYWORDS) + 1)) if rng.random() < share else 0
        choice = bank.keywords[kind - 1] if kind else bank.others
        clip = choice[rng.integers(len(choice))]
        if at + len(clip) + SAMPLE_RATE // 2 > length:
            break
        clean[at : at + len(clip)] = clip * rng.uniform(0.4, 1.0)
        if kind:
            words.append((kind, at, at + len(clip)))
        at += len(clip) + int(rng.integers(SAMPLE_RATE // 4, SAMPLE_RATE))
    clean = colour(clean, rng, tilt_db=(-3.0, 3.0), ripple_db=3.0)
    noise = make_noise(str(rng.choice(NOISES)), bank.crowd, rng, length)
    wave = mix(clean, noise, rng.uniform(5.0, 25.0))
    level = 10 ** (rng.uniform(-30, -16) / 20) / np.sqrt(np.mean(wave**2))
    return Recording((wave * min(level, 0.99 / np.abs(wave).max())).astype(np.float32), words)


def make_labels(recording: Recording) -> NDArray[np.int64]:
    """The class of every frame, ``[time]``: a keyword's for 300 ms, from 100 ms before its end."""
    labels = np.zeros(1 + (len(recording.wave) - WINDOW) // HOP, np.int64)
    for kind, start, end in recording.words:
        last = end // HOP
        labels[start // HOP : last] = IGNORE
        labels[last - 5 : last + 10] = kind
    return labels


def log_mel(wave: Wave) -> NDArray[np.float32]:
    """Frames of a signal, ``[time]`` to ``[time, mels]``; frame t starts at sample t * `HOP`."""
    windows = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    spectra = np.abs(np.fft.rfft(windows * _TAPER, 512)) ** 2
    return (np.log10(spectra @ _FILTERS + 1e-6) / 2 + 1).astype(np.float32)


def _mel_filters() -> NDArray[np.float64]:
    """Triangles, evenly spread on the mel scale (HTK's formula), ``[bins, mels]``."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(60, top, MELS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(512, 1 / SAMPLE_RATE)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rise, fall))


_TAPER = np.hanning(WINDOW)
_FILTERS = _mel_filters()
