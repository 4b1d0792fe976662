"""What was gained: the time of a push, by turns with the float file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnedge.benchmark.trials import take_turns
from rnnedge.parity.signals import cut
from rnnedge_runtime import Model


@dataclass(frozen=True)
class Speed:
    """Medians of one push of the fewest frames, one row, one thread.

    Attributes:
        frames: of a push.
        float_us: the float file's.
        quantized_us: the new one's.
    """

    frames: int
    float_us: float
    quantized_us: float

    @property
    def ratio(self) -> float:
        """How many times as fast the new file is."""
        return self.float_us / self.quantized_us

    def to_dict(self) -> dict[str, Any]:
        """JSON's form."""
        return {
            "frames": self.frames,
            "float_us": round(self.float_us, 2),
            "quantized_us": round(self.quantized_us, 2),
            "ratio": round(self.ratio, 3),
        }


def measure_speed(
    reference: Model, candidate: Model, inputs: Mapping[str, np.ndarray], *, seconds: float
) -> Speed | None:
    """Times both by turns; None for a file that runs whole sequences, or where there is no frame.

    Args:
        reference: the float file.
        candidate: of the same contract.
        inputs: the first frames of the first row are pushed again and again.
        seconds: about how long.
    """
    contract = reference.contract
    frames = contract.chunk_multiple
    if contract.mode != "stream":
        return None
    first = cut(inputs, contract, [frames])[0]
    for port in contract.inputs:
        if port.batch_axis is not None:
            first[port.name] = first[port.name].take([0], port.batch_axis)
        first[port.name] = np.ascontiguousarray(first[port.name])
    times = take_turns(
        {"float": _step(reference, first), "quantized": _step(candidate, first)}, seconds=seconds
    )
    return Speed(frames, times["float"].p50_us, times["quantized"].p50_us)


def _step(model: Model, arrays: Mapping[str, np.ndarray]) -> Callable[[], object]:
    stream = model.stream(on_nonfinite="reset")
    given = next(iter(arrays.values())) if len(arrays) == 1 else dict(arrays)
    return lambda: stream.push(given)
