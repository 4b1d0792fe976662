"""The questions themselves, each a run of the file beside a run of the module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnedge.parity.measure import Array, Ledger, Reference
from rnnedge.parity.oracle import Oracle, Truth
from rnnedge.parity.report import Check
from rnnedge.parity.signals import Signals, cut
from rnnedge_runtime import Model, Port, Stream

BATCHES = (1, 2, 5, 8)
FRAMES = 37
"""Of one trial; not a multiple of anything a model is likely to have."""
LONG_RUN_FRAMES = 1000
LONG_RUN_CHUNK = 25


class _Trials:
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
        has_batch = any(port.batch_axis is not None for port in contract.inputs)
        self.batches = BATCHES if has_batch else (1,)
        self.settings: dict[str, Any] = {"batches": list(self.batches), "frames": FRAMES}

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


class SequenceTrials(_Trials):
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


class StreamTrials(_Trials):
    """A stream: chunked, from any state, reset, perturbed, and for long."""

    def run(self) -> list[Check]:
        """Asks, and returns the answers."""
        for batch in self.batches:
            self._whole(batch)
            self._chunked("one frame at a time", batch, [1] * FRAMES)
            self._chunked("random chunks", batch, self.signals.chunks(FRAMES))
            if self.contract.states:
                self._from_random_states(batch)
        if self._rows_are_apart():
            self._one_row_reset(3, 1)
        quarters = self._long_run()
        compared = ["whole sequence", "one frame at a time", "random chunks"]
        checks = [self.judge(name) for name in compared]
        if self.contract.states:
            checks += [
                self.judge("random initial states"),
                self._reset(),
                *(self._matters(state.name) for state in self.contract.states),
            ]
            if self._rows_are_apart():
                checks.append(self.judge("one row reset"))
        self.settings["long_run_frames"] = LONG_RUN_FRAMES
        return [*checks, self.judge("long run", more=f"; by quarter {quarters}"), self._seen()]

    def _whole(self, batch: int) -> None:
        inputs, truth = self._from_start(batch, FRAMES)
        result = self.model.run(inputs)
        self.compare(result.outputs, truth.outputs, "whole sequence", batch)
        self.compare(result.states, truth.states, "whole sequence", batch)

    def _chunked(self, check: str, batch: int, lengths: list[int]) -> None:
        inputs, truth = self._from_start(batch, FRAMES)
        self._stream(check, batch, inputs, truth, lengths, self.model.stream(batch))

    def _from_start(self, batch: int, frames: int) -> tuple[dict[str, Array], Truth]:
        """What the file says of the start is on trial too: the module starts by itself."""
        inputs = self.signals.inputs(batch, frames)
        return inputs, self.oracle.run_from_start(inputs, self.model.initial_state(batch))

    def _from_random_states(self, batch: int) -> None:
        start = self.model.initial_state(batch)
        states = self.signals.states(batch) | {name: start[name] for name in self.oracle.unseen}
        inputs = self.signals.inputs(batch, FRAMES)
        stream = self.model.stream(batch)
        stream.set_state(states)
        truth, lengths = self.oracle.run(inputs, states), self.signals.chunks(FRAMES)
        self._stream("random initial states", batch, inputs, truth, lengths, stream)

    def _stream(
        self,
        check: str,
        batch: int,
        inputs: Mapping[str, Array],
        truth: Truth,
        lengths: list[int],
        stream: Stream,
    ) -> dict[str, Array]:
        outputs = self._push(stream, inputs, lengths)
        self.compare(outputs, truth.outputs, check, batch)
        self.compare(stream.state, truth.states, check, batch)
        return outputs

    def _push(
        self, stream: Stream, inputs: Mapping[str, Array], lengths: list[int]
    ) -> dict[str, Array]:
        """Pushes chunks and joins what comes out along time."""
        if any(port.time_axis is None for port in self.contract.outputs):
            # Such an output is the value after the last frame pushed: there has to be one.
            lengths = [length for length in lengths if length]
        chunks = cut(inputs, self.contract, lengths)
        parts = [self._pushed(stream, chunk) for chunk in chunks]
        return {
            port.name: parts[-1][port.name]
            if port.time_axis is None
            else np.concatenate([part[port.name] for part in parts], axis=port.time_axis)
            for port in self.contract.outputs
        }

    def _pushed(self, stream: Stream, chunk: dict[str, Array]) -> dict[str, Array]:
        is_plain = len(self.contract.inputs) == len(self.contract.outputs) == 1
        result = stream.push(next(iter(chunk.values())) if is_plain else chunk)
        return result if isinstance(result, dict) else {self.contract.outputs[0].name: result}

    def _reset(self) -> Check:
        batch = self.batches[-1]
        inputs, lengths = self.signals.inputs(batch, FRAMES), self.signals.chunks(FRAMES)
        fresh, used = self.model.stream(batch), self.model.stream(batch)
        expected = self._push(fresh, inputs, lengths)
        self._push(used, self.signals.inputs(batch, FRAMES), lengths)
        used.reset()
        got = self._push(used, inputs, lengths)
        same = _equal(got, expected) and _equal(used.state, fresh.state)
        answer = "bit-equal to a fresh stream" if same else "differs from a fresh stream"
        return Check("reset and replay", same, answer)

    def _rows_are_apart(self) -> bool:
        """Whether one row can be reset alone."""
        states, inputs = self.contract.states, self.contract.inputs
        return (
            len(self.batches) > 1
            and bool(states)
            and all(state.batch_axis is not None for state in states)
            and all(port.batch_axis is not None for port in inputs)
        )

    def _one_row_reset(self, batch: int, row: int) -> None:
        """A row that starts again is a signal of its own: the others go on as if nothing was."""
        before, truth = self._from_start(batch, 2 * FRAMES)
        first, second = cut(before, self.contract, [FRAMES, FRAMES])
        fresh = self.oracle.run_from_start(second, self.model.initial_state(batch))
        stream = self.model.stream(batch)
        self._push(stream, first, [FRAMES])
        stream.reset(rows=[row])
        outputs = self._push(stream, second, self.signals.chunks(FRAMES))
        for port in self.contract.outputs:
            if port.batch_axis is None:
                continue
            whole, ledger = truth.outputs[port.name], self.ledgers[port.name]
            if port.time_axis is not None:
                whole = whole.take(range(FRAMES, 2 * FRAMES), port.time_axis)
            for index in range(batch):
                side = fresh.outputs[port.name] if index == row else whole
                got = outputs[port.name].take([index], axis=port.batch_axis)
                ledger.add(got, side.take([index], port.batch_axis), "one row reset", batch)

    def _matters(self, name: str) -> Check:
        """A state that is never read changes nothing when it is changed."""
        # A few frames only: what a cell forgets has an effect below rounding in the end.
        inputs = self.signals.inputs(1, 2)
        states = self.model.initial_state(1)
        moved = states | {name: states[name] + self.signals.states(1)[name]}
        effect = _distance(*(self.model.run(inputs, start).outputs for start in (states, moved)))
        if effect > 0 or name in self.oracle.unseen:
            return Check(f"state {name} matters", effect > 0, f"outputs move by {effect:.3g}")
        truths = [self.oracle.run(inputs, start).outputs for start in (states, moved)]
        theirs = _distance(*({n: t.single for n, t in truth.items()} for truth in truths))
        detail = f"outputs do not move; in PyTorch they move by {theirs:.3g}"
        return Check(f"state {name} matters", theirs == 0, detail)

    def _seen(self) -> Check:
        """Every output, and every state that the module shows, has to be compared."""
        unseen, count = self.oracle.unseen, len(self.contract.states)
        missed = [n for n, ledger in self.ledgers.items() if not ledger.runs and n not in unseen]
        detail = f"{count - len(unseen)} of {count} states compared with the module's own"
        if unseen:
            detail += f"; by their effect on outputs only: {', '.join(unseen)}"
        if missed:
            detail += f"; never compared: {', '.join(missed)}"
        return Check("all compared", passed=not missed, detail=detail)

    def _long_run(self) -> str:
        """An error that grows with time would stand out against PyTorch's, which does not."""
        inputs, truth = self._from_start(1, LONG_RUN_FRAMES)
        lengths = [LONG_RUN_CHUNK] * (LONG_RUN_FRAMES // LONG_RUN_CHUNK)
        outputs = self._stream("long run", 1, inputs, truth, lengths, self.model.stream(1))
        errors = [_quarter_error(self.contract.outputs, outputs, truth, q) for q in range(4)]
        return ", ".join(f"{error:.2g}" for error in errors)


def _quarter_error(
    ports: tuple[Port, ...], outputs: Mapping[str, Array], truth: Truth, quarter: int
) -> float:
    length = LONG_RUN_FRAMES // 4
    part = range(quarter * length, (quarter + 1) * length)
    return max(
        (
            _distance(
                {"": outputs[port.name].take(part, axis=port.time_axis)},
                {"": truth.outputs[port.name].exact.take(part, axis=port.time_axis)},
            )
            for port in ports
            if port.time_axis is not None
        ),
        default=0.0,
    )


def _used(ledger: Ledger, check: str) -> float:
    """The share of the allowed error that a check used."""
    error, _, allowed = ledger.error(check)
    return 0.0 if error == 0 else error / allowed if allowed else np.inf


def _equal(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


def _distance(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    """The largest absolute difference."""
    pairs = [(a[name].astype(np.float64), b[name].astype(np.float64)) for name in a if a[name].size]
    with np.errstate(invalid="ignore"):
        return max((float(np.abs(x - y).max()) for x, y in pairs), default=0.0)
