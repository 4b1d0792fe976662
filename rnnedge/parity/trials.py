"""The questions themselves, each a run of the file beside a run of the module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnedge.parity.measure import Array, Ledger, Reference
from rnnedge.parity.oracle import Oracle
from rnnedge.parity.report import Check
from rnnedge.parity.signals import Signals
from rnnedge.parity.spans import FRAMES, Spans
from rnnedge_runtime import Model


class Trials:
    """What both kinds of model share: a ledger per tensor, and how a comparison is judged."""

    def __init__(
        self, model: Model, oracle: Oracle, signals: Signals, forward_states: set[str]
    ) -> None:
        contract = model.contract
        self.model = model
        self.contract = contract
        self.oracle = oracle
        self.signals = signals
        self.forward_states = forward_states
        axes = {port.name: port.shape for port in contract.outputs}
        axes |= {state.name: state.shape for state in contract.states}
        self.ledgers = {name: Ledger(name, shape) for name, shape in axes.items()}
        self.spans = Spans.of(contract)
        has_batch = any(port.batch_axis is not None for port in contract.inputs)
        self.batches = self.spans.batches if has_batch else (1,)
        self.settings: dict[str, Any] = {
            "batches": list(self.batches),
            "frames": self.spans.frames,
        }

    def compare(
        self, got: Mapping[str, Array], truth: Mapping[str, Reference], check: str, batch: int
    ) -> None:
        """Notes the errors of all tensors that both have; `_seen` tells what was never compared."""
        for name in got.keys() & truth.keys():
            self.ledgers[name].add(got[name], truth[name], check, batch)

    def judge(self, check: str, *, more: str = "") -> Check:
        """The answer to a comparison, after all of them were run."""
        for ledger in self.ledgers.values():
            if failure := ledger.failure(check):
                return Check(check, passed=False, detail=f"{ledger.name}: {failure}")
        worst = max(self.ledgers.values(), key=lambda ledger: _used(ledger, check))
        error, own, allowed = worst.error(check)
        detail = (
            f"error {error:.1e} in {worst.name} (PyTorch's own {own:.1e}, allowed {allowed:.1e})"
        )
        return Check(check, error <= allowed, detail + more)


class SequenceTrials(Trials):
    """A model of whole sequences: other batch sizes and lengths than the export's example."""

    LENGTHS = (1, 2, FRAMES, 10 * FRAMES)

    def run(self) -> list[Check]:
        """Asks, and returns the answers."""
        for batch in self.batches:
            for frames in self.LENGTHS:
                self._whole(batch, frames)
        self.settings["frames"] = list(self.LENGTHS)
        return [self.judge("whole sequence")]

    def _whole(self, batch: int, frames: int) -> None:
        arrays = self.signals.inputs(batch, frames)
        states = {n: v for n, v in arrays.items() if n in self.forward_states}
        data = {n: v for n, v in arrays.items() if n not in self.forward_states}
        truth = self.oracle.run(data, states)
        known = truth.outputs | {f"{n}.next": v for n, v in truth.states.items()}
        self.compare(self.model.run(arrays).outputs, known, "whole sequence", batch)


def _used(ledger: Ledger, check: str) -> float:
    """The share of the allowed error that a check used."""
    error, _, allowed = ledger.error(check)
    return 0.0 if error == 0 else error / allowed if allowed else np.inf
