"""Is a form the same function, and is it surely faster?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rnnedge.benchmark.timings import Timings
from rnnedge.parity.signals import Signals
from rnnedge.quality.compare import output_quality, streamed
from rnnedge.quality.data import random_inputs
from rnnedge_runtime import Model

ROUNDING = 1e-5
"""How far an exact form's outputs may be from the file's own, in parts of the largest."""
FASTER = 0.97
"""A form has to take at most this part of the file's own time, in the median of the rounds, ..."""
SURE = 0.75
"""... and to be faster in at least this part of them."""
_ROWS, _FRAMES = 2, 200


@dataclass(frozen=True)
class Distance:
    """How far a form's outputs are from the file's own.

    Attributes:
        worst: the largest difference, in parts of the largest value of the same output.
        snr_db: the lowest signal-to-noise ratio of an output; infinite where nothing differs.
    """

    worst: float
    snr_db: float


class Outputs:
    """What streams of a model give for one random signal, in random chunks."""

    def __init__(self, model: Model, data: bytes, seed: int) -> None:
        """`data` are the bytes of the model's file."""
        contract = model.contract
        self._ports = contract.outputs
        self._inputs = random_inputs(data, contract, seed=seed, rows=_ROWS, frames=_FRAMES)
        signals = Signals(contract, seed=seed, index_bound=1)
        self._lengths = signals.chunks(_FRAMES * contract.chunk_multiple)
        self._own = streamed(model, self._inputs, _ROWS, self._lengths)

    def distance(self, model: Model) -> Distance:
        """Of another form from the file's own."""
        theirs = streamed(model, self._inputs, _ROWS, self._lengths)
        worst, snr_db = 0.0, math.inf
        for port in self._ports:
            own = self._own[port.name]
            found = output_quality(port, own, theirs[port.name])
            apart = found.max_abs / max(float(np.abs(own).max(initial=0)), 1e-12)
            worst = max(worst, apart if math.isfinite(apart) else math.inf)
            snr_db = min(snr_db, found.snr_db)
        return Distance(worst, snr_db)


def is_faster(form: Timings, own: Timings) -> bool:
    """Whether a form is surely faster: in the median of the rounds, and in most of them."""
    ratios = [a / b for a, b in zip(_medians(form), _medians(own), strict=False)]
    faster = sum(ratio < 1 for ratio in ratios) / len(ratios)
    return bool(np.median(ratios) <= FASTER and faster >= SURE)


def _medians(timings: Timings) -> list[float]:
    ends = np.cumsum(timings.blocks)
    return [float(np.median(part)) for part in np.split(timings.ns, ends[:-1])]
