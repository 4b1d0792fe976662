"""How the file is compared with what the module gives, case by case, and judged at the end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnedge.parity.cases import Case, Restart, aligned_row, run_case, run_restart
from rnnedge.parity.measure import Array, Ledger, Reference
from rnnedge.parity.options import ALLOWED_RATIO
from rnnedge.parity.playback import Played, frames_of, play
from rnnedge.parity.report import Check
from rnnedge_runtime import Model
from rnnedge_runtime.contract import TIME, Port, dim_factor


class Trials:
    """A ledger per output and state, filled by cases.

    Attributes:
        model: on trial.
        contract: its contract.
        ledgers: by output and state.
    """

    def __init__(
        self,
        model: Model,
        *,
        ratio: float = ALLOWED_RATIO,
        own: Mapping[str, Array] | None = None,
    ) -> None:
        """`own` is PyTorch's own error by tensor and channel, where it is known before."""
        contract = model.contract
        self.model = model
        self.contract = contract
        axes = {port.name: port.shape for port in contract.outputs}
        axes |= {state.name: state.shape for state in contract.states}
        known = own or {}
        states = {state.name for state in contract.states}
        self.ledgers = {
            name: Ledger(name, shape, ratio, known.get(name, np.zeros(())), name in states)
            for name, shape in axes.items()
        }

    def ask(self, case: Case) -> dict[str, Array]:
        """Runs the file and notes the errors.

        Returns:
            The outputs: whole, or what was emitted after a row was reset.
        """
        if case.restart is not None:
            return self._ask_rows(case, case.restart)
        result = run_case(self.model, case)
        self._compare(result.outputs, case.truth.outputs, case)
        self._compare(result.states, case.truth.states, case)
        return result.outputs

    def _compare(
        self, got: Mapping[str, Array], truth: Mapping[str, Reference], case: Case
    ) -> None:
        """All tensors that both have; who asks has to see that none is left out."""
        for name in got.keys() & truth.keys():
            self.ledgers[name].add(got[name], truth[name], case.check, case.batch)

    def _ask_rows(self, case: Case, restart: Restart) -> dict[str, Array]:
        """A row that starts again is a signal of its own: the others go on as if nothing was."""
        emitted = run_restart(self.model, case, restart)
        for port in self.contract.outputs:
            if port.batch_axis is None:
                continue
            for row in range(case.batch):
                is_new = row == restart.row
                before = 0 if is_new else int(restart.frames * port.ratio)
                truth = restart.truth if is_new else case.truth
                got, done = aligned_row(port, emitted[port.name], row, before)
                expected = _row(port, truth.outputs[port.name], row, done)
                offset = _offset(port, row, done)
                self.ledgers[port.name].add(got, expected, case.check, case.batch, offset)
        return emitted

    def judge(self, check: str, *, more: str = "") -> Check:
        """The answer to a comparison, after all of them were run."""
        for ledger in self.ledgers.values():
            if failure := ledger.failure(check):
                return Check(check, passed=False, detail=f"{ledger.name}: {failure}")
        ledgers = sorted(self.ledgers.values(), key=lambda ledger: -_used(ledger, check))
        error, own, allowed = ledgers[0].error(check)
        detail = (
            f"error {error:.1e} in {ledgers[0].name} (PyTorch's own {own:.1e}, "
            f"allowed {allowed:.1e})"
        )
        beyond = tuple(place for ledger in ledgers if (place := ledger.beyond(check)) is not None)
        if beyond:
            others = ", ".join(place.tensor for place in beyond[1:])
            detail += f"; {beyond[0].where()}" + (f"; beyond it, too: {others}" if others else "")
        return Check(check, error <= allowed, detail + more, beyond)

    def replay(
        self,
        batch: int,
        inputs: Mapping[str, Array],
        before: Mapping[str, Array],
        lengths: tuple[int, ...],
    ) -> Check:
        """Whether a stream that has run `before` and was reset equals a fresh one bit for bit."""
        fresh, used = self.model.stream(batch), self.model.stream(batch)
        expected = play(fresh, inputs, lengths)
        play(used, before, lengths)
        used.reset()
        same = _equal(play(used, inputs, lengths), expected)
        answer = "bit-equal to a fresh stream" if same else "differs from a fresh stream"
        return Check("reset and replay", same, answer)


def _row(port: Port, whole: Reference, row: int, begin: int) -> Reference:
    assert port.batch_axis is not None  # noqa: S101 - asked by the caller
    return Reference(
        frames_of(port, whole.exact, begin).take([row], port.batch_axis),
        frames_of(port, whole.single, begin).take([row], port.batch_axis),
    )


def _offset(port: Port, row: int, begin: int) -> dict[int, int]:
    """Where one row's frames from `begin` on lie in the whole output."""
    assert port.batch_axis is not None  # noqa: S101 - asked by the caller
    if port.time_axis is None:
        return {port.batch_axis: row}
    entries = dim_factor(port.shape[port.time_axis], TIME)
    return {port.batch_axis: row, port.time_axis: begin * entries}


def _equal(a: Played, b: Played) -> bool:
    pairs = ((a.emitted, b.emitted), (a.states, b.states))
    return all(x[name].tobytes() == y[name].tobytes() for x, y in pairs for name in x)


def _used(ledger: Ledger, check: str) -> float:
    """The share of the allowed error that a check used."""
    error, _, allowed = ledger.error(check)
    return 0.0 if error == 0 else error / allowed if allowed else np.inf
