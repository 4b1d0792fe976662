"""How many dB of its improvement a quantised denoiser loses.

``python -m examples.denoiser.quality noisy.npz`` writes noisy speech of voices that training has
not heard, and ``--metric examples.denoiser.quality:si_sdr_lost`` judges on it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from examples.denoiser.data import make_pair, make_speech
from examples.noise import NOISES

SECONDS = 4.0


def si_sdr_db(estimate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Scale-invariant signal-to-distortion ratio in dB, ``[rows]``, of ``[rows, time]``.

    Le Roux et al., "SDR - half-baked or well done?", 2019, equation 5.
    """
    estimate = estimate - estimate.mean(-1, keepdims=True)
    target = target - target.mean(-1, keepdims=True)
    scale = (estimate * target).sum(-1) / ((target**2).sum(-1) + 1e-8)
    wanted = scale[:, None] * target
    ratio = (wanted**2).sum(-1) / (((estimate - wanted) ** 2).sum(-1) + 1e-8)
    return np.asarray(10 * np.log10(ratio + 1e-8))


def si_sdr_lost(
    reference: Mapping[str, np.ndarray],
    candidate: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """By how much less the candidate improves the signal, in dB, on average.

    Args:
        reference: waveforms ``[rows, time]``, by the output's name.
        candidate: the other file's.
        data: `clean` beside the input `wave`, both ``[rows, time]``.
    """
    clean = data["clean"].astype(np.float64)
    noisy = si_sdr_db(data["wave"], clean)
    ours, theirs = (
        si_sdr_db(next(iter(outputs.values())).astype(np.float64), clean) - noisy
        for outputs in (reference, candidate)
    )
    return {
        "drop": float((ours - theirs).mean()),
        "float_gain_db": float(ours.mean()),
        "quantized_gain_db": float(theirs.mean()),
    }


def save_pairs(path: Path, each: int = 4) -> None:
    """Writes `wave` and `clean`: `each` signals of every noise, a row each."""
    speech = make_speech(seed=7, count=60, test=True)
    rng = np.random.default_rng(1000)
    pairs = [
        make_pair(speech, rng, SECONDS, (0.0, 10.0), kinds=(kind,))
        for kind in NOISES
        for _ in range(each)
    ]
    np.savez(path, wave=np.stack([p[0] for p in pairs]), clean=np.stack([p[1] for p in pairs]))


if __name__ == "__main__":
    save_pairs(Path(sys.argv[1]))
