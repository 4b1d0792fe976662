"""Noisy speech and what it was before the noise, all made here.

Speech comes from eSpeak NG (`examples.speech`), noise from a random generator (`examples.noise`):
coloured noise with a wandering level, babble of many voices, mains hum, clicks, fans. The same seed
gives the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.noise import NOISES, colour, make_noise, mix
from examples.speech import (
    SAMPLE_RATE,
    TEST_VARIANTS,
    TRAIN_VARIANTS,
    Wave,
    random_voice,
    say,
)

_TEXT = """
a about after again air all along also always among and animal answer around as ask away back be
because before began below between big book both boy bring brother build but call came can carry
change children city close cold come could country cross dark day did different do door down draw
each early earth eat end enough even every example eye face fall family far farm father feet few
find fire fish follow food for found four friend from garden gave girl give glass go good great
green group grow had half hand hard have he head hear help her here high him his home horse hot
house how hundred idea if important in inside island it journey jump just keep kind king knew know
land language large last late laugh learn leave left letter life light like line list little live
long look love machine made make man many map mark measure mean milk mile money moon more morning
most mother mountain mouth move much music must my name near need never new next night nine noise
north nothing now number of off often old on once one only open orange order other our out over
own page paper part people picture place plan plant play please point power pretty problem pull
push question quick quiet rain ran reach read ready real red remember rest right river road rock
room round rule run said same saw say school science sea second see seem sentence set seven shape
she ship short should show side simple since sing sister sit six sleep slow small snow so some
song soon sound south space speak stand star start state stay still stop story street strong study
such summer sun sure table take talk teacher tell ten than that the their them then there these
thing think this those thought three through time together told too took top toward town travel
tree true try turn two under until up us use usual very voice walk want warm was watch water way
we week weight well went were what wheel when where which while white who why wind window winter
wish with without woman wonder wood word work world would write yellow year yes you young your
"""
_WORDS = _TEXT.split()


@dataclass(frozen=True)
class Speech:
    """Spoken sentences, and the same voices again for babble.

    Attributes:
        sentences: each ``[time]``.
        crowd: one long signal of sentences in a row, for overlapping voices, ``[time]``.
    """

    sentences: list[Wave]
    crowd: Wave


def make_speech(seed: int, count: int, *, test: bool = False) -> Speech:
    """Speaks `count` random sentences; test speech has voices that training speech has not."""
    rng = np.random.default_rng([seed, int(test)])
    variants = TEST_VARIANTS if test else TRAIN_VARIANTS

    def sentence() -> Wave:
        words = rng.choice(_WORDS, rng.integers(4, 13))
        return say(" ".join(words), random_voice(rng, variants))

    sentences = [sentence() for _ in range(count)]
    crowd = [sentence() for _ in range(max(8, count // 4))]
    return Speech(sentences, np.concatenate(crowd))


@dataclass(frozen=True)
class Pairs:
    """A batch; `noisy` is `clean` plus noise, both float32 ``[batch, time]``."""

    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]


def make_pairs(
    speech: Speech,
    rng: np.random.Generator,
    count: int,
    seconds: float,
    snr_db: tuple[float, float],
) -> Pairs:
    """Draws `count` noisy signals of `seconds`, with a signal-to-noise ratio in `snr_db`."""
    pairs = [make_pair(speech, rng, seconds, snr_db) for _ in range(count)]
    return Pairs(np.stack([noisy for noisy, _ in pairs]), np.stack([clean for _, clean in pairs]))


def make_pair(
    speech: Speech,
    rng: np.random.Generator,
    seconds: float,
    snr_db: tuple[float, float],
    kinds: tuple[str, ...] | None = None,
) -> tuple[Wave, Wave]:
    """One noisy signal and its clean speech, ``[time]``; one or two random noises, or `kinds`."""
    length = round(seconds * SAMPLE_RATE)
    clean = _talk(speech, rng, length)
    if kinds is None:
        kinds = tuple(rng.choice(NOISES, rng.integers(1, 3), replace=False))
    noise = sum((make_noise(kind, speech.crowd, rng, length) for kind in kinds), np.zeros(length))
    noisy = mix(clean, noise, rng.uniform(*snr_db))
    level = 10 ** (rng.uniform(-30, -14) / 20) / np.sqrt(np.mean(noisy**2))
    level = min(level, 0.99 / np.abs(noisy).max())
    return (level * noisy).astype(np.float32), (level * clean).astype(np.float32)


def _talk(speech: Speech, rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Sentences with pauses, through a random microphone."""
    parts: list[NDArray[np.float64]] = []
    missing = length + rng.integers(0, SAMPLE_RATE)  # the start may fall into a sentence
    while missing > 0:
        sentence = speech.sentences[rng.integers(len(speech.sentences))]
        pause = np.zeros(rng.integers(SAMPLE_RATE // 10, SAMPLE_RATE))
        parts += [sentence * rng.uniform(0.5, 1.0), pause]
        missing -= len(sentence) + len(pause)
    talk = np.concatenate(parts)
    talk = talk[len(talk) - length :] if rng.random() < 0.5 else talk[:length]
    return colour(talk, rng, tilt_db=(-3.0, 3.0), ripple_db=3.0)
