"""Trials that ask the module: what both kinds of file share, and those of whole sequences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from rnnedge.parity.cases import Case
from rnnedge.parity.measure import Array, Truth
from rnnedge.parity.options import Options
from rnnedge.parity.oracle import Oracle
from rnnedge.parity.report import Check
from rnnedge.parity.signals import Signals
from rnnedge.parity.spans import FRAMES, Spans
from rnnedge.parity.trials import Trials
from rnnedge_runtime import Model


class Asking(Trials, ABC):
    """Makes cases of random signals and of what the module gives for them.

    Attributes:
        settings: what is needed to ask again.
        asked: every case, if they are to be kept.
    """

    def __init__(
        self,
        model: Model,
        oracle: Oracle,
        signals: Signals,
        forward_states: set[str],
        options: Options,
        *,
        keep: bool = False,
    ) -> None:
        super().__init__(model, ratio=options.allowed_ratio)
        self.oracle = oracle
        self.signals = signals
        self.forward_states = forward_states
        self.options = options
        self.spans = Spans.of(self.contract)
        self.has_batch = any(port.batch_axis is not None for port in self.contract.inputs)
        own = self.spans.batches if self.has_batch else (1,)
        self.batches = tuple(sorted({*own, *options.batches}))
        self.settings: dict[str, Any] = {
            "batches": list(self.batches),
            "frames": self.spans.frames,
        }
        self.asked: list[Case] = []
        self._keep = keep

    @abstractmethod
    def run(self) -> list[Check]:
        """Asks, and returns the answers."""

    def ask(self, case: Case) -> dict[str, Array]:
        """As `Trials.ask`; keeps the case if it is to be kept."""
        if self._keep:
            self.asked.append(case)
        return super().ask(case)


class SequenceTrials(Asking):
    """A model of whole sequences: other batch sizes and lengths than the export's example."""

    LENGTHS = (1, 2, FRAMES, 10 * FRAMES)

    def run(self) -> list[Check]:
        """Asks, and returns the answers."""
        for case in self._cases():
            self.ask(case)
        self.settings["frames"] = list(self.LENGTHS)
        return [self.judge("whole sequence")]

    def _cases(self) -> Iterator[Case]:
        for batch in self.batches:
            for frames in self.LENGTHS:
                arrays = self.signals.inputs(batch, frames)
                states = {n: v for n, v in arrays.items() if n in self.forward_states}
                data = {n: v for n, v in arrays.items() if n not in self.forward_states}
                truth = self.oracle.run(data, states)
                known = truth.outputs | {f"{n}.next": v for n, v in truth.states.items()}
                yield Case("whole sequence", batch, arrays, None, Truth(known, {}))
