"""On how many frames a quantised detector decides as the float one does.

``python -m examples.silero_vad.quality scenes.npz`` writes synthesised speech in noise, and
``--metric examples.silero_vad.quality:agreement`` judges on it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from examples.noise import NOISES
from examples.silero_vad.data import make_scene
from examples.silero_vad.stream import spans

SEEDS = range(100, 104)
SNR_DB = (0.0, 5.0, 10.0, 20.0)


def decisions(probabilities: np.ndarray) -> np.ndarray:
    """Whether each frame is speech, ``[frames]``, by the thresholds of the package."""
    speech = np.zeros(len(probabilities), bool)
    for start, end in spans(probabilities.tolist()):
        speech[start:end] = True
    return speech


def agreement(
    reference: Mapping[str, np.ndarray],
    candidate: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """The share of frames decided differently, and what else there is to know of it.

    Args:
        reference: probabilities ``[rows, frames]``, by the output's name.
        candidate: the other file's.
        data: is not needed.
    """
    ours, theirs = next(iter(reference.values())), next(iter(candidate.values()))
    pairs = [(decisions(a), decisions(b)) for a, b in zip(ours, theirs, strict=True)]
    differ = float(np.mean([np.mean(a != b) for a, b in pairs]))
    return {
        "drop": differ,
        "agreement": 1 - differ,
        "frames": ours.size,
        "share_of_speech": float(np.mean([a.mean() for a, _ in pairs])),
        "largest_difference": float(np.abs(ours - theirs).max()),
    }


def save_scenes(path: Path) -> None:
    """Writes `wave`, one row: scenes with every noise, at several strengths, one after another."""
    waves = [
        make_scene(seed, noise, snr_db).wave
        for seed, snr_db in zip(SEEDS, SNR_DB, strict=True)
        for noise in NOISES
    ]
    np.savez(path, wave=np.concatenate(waves)[None])


if __name__ == "__main__":
    save_scenes(Path(sys.argv[1]))
