"""People who say a sentence each, over noise, and when they do; all of it synthesised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.noise import make_noise, mix
from examples.speech import SAMPLE_RATE, TEST_VARIANTS, Wave, random_voice, say

SENTENCES = (
    "the station is just around the corner",
    "could you please wait for a moment",
    "a quick question before we begin",
    "that will be all for today",
)


@dataclass(frozen=True)
class Scene:
    """Speech in noise.

    Attributes:
        wave: the signal, ``[time]``.
        spoken: the first sample of each sentence, and the first after it.
    """

    wave: Wave
    spoken: list[tuple[int, int]]


def make_scene(seed: int, noise: str = "fan", snr_db: float = 10.0) -> Scene:
    """Four voices with pauses between them; the same seed gives the same samples."""
    rng = np.random.default_rng(seed)
    clean, spoken = np.zeros(0), []
    for text in SENTENCES:
        pause = np.zeros(rng.integers(SAMPLE_RATE // 2, 2 * SAMPLE_RATE))
        sentence = say(text, random_voice(rng, TEST_VARIANTS, ("en-us", "en")))
        clean = np.concatenate([clean, pause, sentence])
        spoken.append((len(clean) - len(sentence), len(clean)))
    clean = np.pad(clean, (0, SAMPLE_RATE))
    wave = mix(clean, make_noise(noise, clean.astype(np.float32), rng, len(clean)), snr_db)
    return Scene((0.5 * wave / np.abs(wave).max()).astype(np.float32), spoken)
