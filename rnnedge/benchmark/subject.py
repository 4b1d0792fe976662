"""What is measured: a loaded model, how it is called, and with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from pathlib import Path

from rnnedge.benchmark.trials import Step
from rnnedge.parity.measure import Array
from rnnedge.parity.signals import Signals
from rnnedge_runtime import Model

_SIGNALS = 16
"""So many different chunks are pushed in turn: the same one again and again would let states settle
where no signal does."""
_INDEX_BOUND = 2
"""Integer inputs are 0 and 1, which every table of values has."""


@dataclass(frozen=True)
class Subject:
    """A model and the calls that are made.

    Attributes:
        path: the file.
        model: loaded from it.
        frames: input frames of a call.
        batch: rows of a call.
        threads: of one run.
        seed: of the random inputs.
    """

    path: Path
    model: Model
    frames: int
    batch: int
    threads: int
    seed: int

    def inputs(self, frames: int | None = None, batch: int | None = None) -> list[dict[str, Array]]:
        """Random inputs for some calls, by name; the same at every asking."""
        signals = Signals(self.model.contract, seed=self.seed, index_bound=_INDEX_BOUND)
        rows, count = batch or self.batch, frames or self.frames
        return [signals.inputs(rows, count) for _ in range(_SIGNALS)]

    def step(self, frames: int | None = None, batch: int | None = None) -> Step:
        """One push into a stream of its own."""
        stream = self.model.stream(batch or self.batch)
        given = self.inputs(frames, batch)
        if len(self.model.contract.inputs) == 1:
            arrays = cycle([next(iter(named.values())) for named in given])
            return lambda: stream.push(next(arrays))
        chunks = cycle(given)
        return lambda: stream.push(next(chunks))

    @property
    def runs(self) -> int:
        """How often onnxruntime runs in one call."""
        most = self.model.contract.chunk_most
        return 1 if most is None else ceil(self.frames / most)


def repeated(inputs: Sequence[Mapping[str, Array]], calls: int) -> list[Mapping[str, Array]]:
    """Inputs of so many calls."""
    return [inputs[index % len(inputs)] for index in range(calls)]
