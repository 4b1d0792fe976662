"""Is a form the same function, and is it surely faster?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnedge.benchmark.timings import Timings
from rnnedge.parity.measure import Array
from rnnedge.parity.signals import Signals, cut
from rnnedge_runtime import Model

ROUNDING = 1e-5
"""How far an exact form's outputs may be from the file's own, in parts of the largest."""
FASTER = 0.97
"""A form has to take at most this part of the file's own time, in the median of the rounds, ..."""
SURE = 0.75
"""... and to be faster in at least this part of them."""
_FRAMES = 200
_INDEX_BOUND = 2


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

    def __init__(self, model: Model, seed: int) -> None:
        multiple = model.contract.chunk_multiple
        signals = Signals(model.contract, seed=seed, index_bound=_INDEX_BOUND)
        inputs = signals.inputs(2, _FRAMES * multiple)
        self._chunks = cut(inputs, model.contract, signals.chunks(_FRAMES * multiple))
        self._own = self.of(model)

    def of(self, model: Model) -> dict[str, Array]:
        """A model's outputs of the whole signal, by name."""
        stream = model.stream(batch=2)
        ports = model.contract.outputs
        results: list[Mapping[str, Array]] = []
        for chunk in self._chunks:
            given = stream.push(chunk)
            results.append(given if isinstance(given, dict) else {ports[0].name: given})
        return {
            port.name: results[-1][port.name]
            if port.time_axis is None
            else np.concatenate([result[port.name] for result in results], port.time_axis)
            for port in ports
        }

    def distance(self, model: Model) -> Distance:
        """Of another form from the file's own."""
        worst, snr = 0.0, float("inf")
        for name, theirs in self.of(model).items():
            own, other = self._own[name].astype(np.float64), theirs.astype(np.float64)
            noise = float(np.abs(other - own).max(initial=0))
            if not np.isfinite(noise):
                return Distance(float("inf"), float("-inf"))
            worst = max(worst, noise / max(float(np.abs(own).max(initial=0)), 1e-12))
            if noise:
                power = float(np.square(own).mean()) / float(np.square(other - own).mean())
                snr = min(snr, 10 * np.log10(max(power, 1e-30)))
        return Distance(worst, snr)


def is_faster(form: Timings, own: Timings) -> bool:
    """Whether a form is surely faster: in the median of the rounds, and in most of them."""
    ratios = [a / b for a, b in zip(_medians(form), _medians(own), strict=False)]
    faster = sum(ratio < 1 for ratio in ratios) / len(ratios)
    return bool(np.median(ratios) <= FASTER and faster >= SURE)


def _medians(timings: Timings) -> list[float]:
    ends = np.cumsum(timings.blocks)
    return [float(np.median(part)) for part in np.split(timings.ns, ends[:-1])]
