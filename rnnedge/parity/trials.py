"""The questions themselves, each a run of the file beside a run of the module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnedge.parity.measure import ALLOWED_RATIO, Array, Ledger, Reference
from rnnedge.parity.oracle import Oracle, Truth
from rnnedge.parity.report import Check
from rnnedge.parity.signals import Signals, cut
from rnnedge_runtime import Model, Stream

BATCHES = (1, 2, 5, 8)
FRAMES = 37
"""Of one trial; not a multiple of anything a model is likely to have."""
LONG_RUN_FRAMES = 1000
LONG_RUN_CHUNK = 25


class _Trials:
    """What both kinds of model share."""

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

    def judge(self, name: str, run: Callable[[], float], what: str) -> Check:
        """Runs a comparison; it passes when no error is above what is allowed."""
        ratio = run()
        detail = f"{what}: error {ratio:.2f} times PyTorch's own in float32"
        return Check(name, bool(ratio <= ALLOWED_RATIO), detail)

    def compare(self, got: Mapping[str, Array], truth: Mapping[str, Reference], run: str) -> float:
        """The worst ratio over tensors that the truth knows."""
        known = [name for name in got if name in truth]
        return max((self.ledgers[n].add(got[n], truth[n], run) for n in known), default=0.0)


class SequenceTrials(_Trials):
    """A model of whole sequences: other batch sizes and lengths than the export's example."""

    def run(self) -> list[Check]:
        """Asks, and returns the answers."""
        lengths = (1, 2, FRAMES, 3 * FRAMES)
        return [self.judge("whole sequence", lambda: self._whole(lengths), self._scope(lengths))]

    def _scope(self, lengths: tuple[int, ...]) -> str:
        return f"batches {list(self.batches)}, lengths {list(lengths)}"

    def _whole(self, lengths: tuple[int, ...]) -> float:
        worst = 0.0
        for batch in self.batches:
            for frames in lengths:
                arrays = self.signals.inputs(batch, frames)
                states = {n: v for n, v in arrays.items() if n in self.forward_states}
                data = {n: v for n, v in arrays.items() if n not in self.forward_states}
                truth = self.oracle.run(data, states)
                known = truth.outputs | {f"{n}.next": v for n, v in truth.states.items()}
                got = self.model.run(arrays).outputs
                run = f"whole sequence, batch {batch}, {frames} frames"
                worst = max(worst, self.compare(got, known, run))
        return worst


class StreamTrials(_Trials):
    """A stream: chunked, from any state, reset, perturbed, and for long."""

    def run(self) -> list[Check]:
        """Asks, and returns the answers."""
        scope = f"{FRAMES} frames, batches {list(self.batches)}"
        checks = [
            self.judge("whole sequence", lambda: self._each_batch(self._whole), scope),
            self.judge("one frame at a time", lambda: self._each_batch(self._frames), scope),
            self.judge("random chunks", lambda: self._each_batch(self._random_chunks), scope),
        ]
        if self.contract.states:
            checks += [
                self.judge("random initial states", lambda: self._each_batch(self._from), scope),
                self._reset(),
                *(self._matters(state.name) for state in self.contract.states),
                self._seen(),
            ]
        checks.append(self._long_run())
        return checks

    def _seen(self) -> Check:
        """Says which states the module shows; the others are judged by their effect."""
        unseen, count = self.oracle.unseen, len(self.contract.states)
        detail = f"{count - len(unseen)} of {count} compared with the module's own"
        if unseen:
            detail += f"; by their effect on outputs only: {', '.join(unseen)}"
        return Check("states seen", passed=True, detail=detail)

    def _each_batch(self, trial: Callable[[int], float]) -> float:
        return max(trial(batch) for batch in self.batches)

    def _truth(self, batch: int, states: Mapping[str, Array] | None = None) -> tuple[Any, Truth]:
        inputs = self.signals.inputs(batch, FRAMES)
        start = self.model.initial_state(batch) if states is None else states
        return inputs, self.oracle.run(inputs, start)

    def _whole(self, batch: int) -> float:
        inputs, truth = self._truth(batch)
        result = self.model.run(inputs)
        run = f"whole sequence, batch {batch}"
        return max(
            self.compare(result.outputs, truth.outputs, run),
            self.compare(result.states, truth.states, run),
        )

    def _frames(self, batch: int) -> float:
        inputs, truth = self._truth(batch)
        return self._streamed(batch, inputs, truth, [1] * FRAMES, "one frame at a time")

    def _random_chunks(self, batch: int) -> float:
        inputs, truth = self._truth(batch)
        lengths = self.signals.chunks(FRAMES)
        return self._streamed(batch, inputs, truth, lengths, "random chunks")

    def _from(self, batch: int) -> float:
        states = self.signals.states(batch) | {
            name: self.model.initial_state(batch)[name] for name in self.oracle.unseen
        }
        inputs, truth = self._truth(batch, states)
        stream = self.model.stream(batch)
        stream.set_state(states)
        lengths = self.signals.chunks(FRAMES)
        return self._streamed(batch, inputs, truth, lengths, "random initial states", stream)

    def _streamed(
        self,
        batch: int,
        inputs: Mapping[str, Array],
        truth: Truth,
        lengths: list[int],
        name: str,
        stream: Stream | None = None,
    ) -> float:
        stream = stream or self.model.stream(batch)
        run = f"{name}, batch {batch}"
        outputs = self._push(stream, inputs, lengths)
        return max(
            self.compare(outputs, truth.outputs, run), self.compare(stream.state, truth.states, run)
        )

    def _push(
        self, stream: Stream, inputs: Mapping[str, Array], lengths: list[int]
    ) -> dict[str, Array]:
        """Pushes chunks and joins what comes out along time."""
        chunks = cut(inputs, self.contract, [length for length in lengths if length])
        parts = [self._pushed(stream, chunk) for chunk in chunks]
        joined = {}
        for port in self.contract.outputs:
            pieces = [part[port.name] for part in parts]
            if port.time_axis is None:
                joined[port.name] = pieces[-1]
            else:
                joined[port.name] = np.concatenate(pieces, axis=port.time_axis)
        return joined

    def _pushed(self, stream: Stream, chunk: Mapping[str, Array]) -> dict[str, Array]:
        given = next(iter(chunk.values())) if self._is_plain() else dict(chunk)
        result = stream.push(given)
        return result if isinstance(result, dict) else {self.contract.outputs[0].name: result}

    def _is_plain(self) -> bool:
        return len(self.contract.inputs) == len(self.contract.outputs) == 1

    def _reset(self) -> Check:
        inputs = self.signals.inputs(self.batches[-1], FRAMES)
        lengths = self.signals.chunks(FRAMES)
        fresh = self.model.stream(self.batches[-1])
        expected = self._push(fresh, inputs, lengths)
        used = self.model.stream(self.batches[-1])
        self._push(used, self.signals.inputs(self.batches[-1], FRAMES), lengths)
        used.reset()
        got = self._push(used, inputs, lengths)
        same = all(np.array_equal(got[name], expected[name]) for name in expected) and all(
            np.array_equal(used.state[name], fresh.state[name]) for name in fresh.state
        )
        answer = "bit-equal to a fresh stream" if same else "differs from a fresh stream"
        return Check("reset and replay", same, answer)

    def _matters(self, name: str) -> Check:
        """A state that is paired wrongly, or never fed back, changes nothing when it is changed."""
        # A few frames only: what a cell forgets has an effect below rounding in the end.
        inputs = self.signals.inputs(1, 2)
        states = self.model.initial_state(1)
        moved = states | {name: states[name] + self.signals.states(1)[name]}
        ours = [self.model.run(inputs, start).outputs for start in (states, moved)]
        effect = _distance(*ours)
        if effect > 0 or name in self.oracle.unseen:
            return Check(f"state {name} matters", effect > 0, f"outputs move by {effect:.3g}")
        truths = [self.oracle.run(inputs, start).outputs for start in (states, moved)]
        theirs = _distance(*({n: t.single for n, t in truth.items()} for truth in truths))
        detail = f"outputs do not move; in PyTorch they move by {theirs:.3g}"
        return Check(f"state {name} matters", theirs == 0, detail)

    def _long_run(self) -> Check:
        """The error of the last quarter is held to what PyTorch's own error is by then."""
        inputs = self.signals.inputs(1, LONG_RUN_FRAMES)
        truth = self.oracle.run(inputs, self.model.initial_state(1))
        lengths = [LONG_RUN_CHUNK] * (LONG_RUN_FRAMES // LONG_RUN_CHUNK)
        stream = self.model.stream(1)
        outputs = self._push(stream, inputs, lengths)
        ratio = max(
            self.compare(outputs, truth.outputs, "long run"),
            self.compare(stream.state, truth.states, "long run"),
        )
        quarters = [self._quarter(outputs, truth, index) for index in range(4)]
        shown = ", ".join(f"{error:.2g}" for error in quarters)
        detail = (
            f"{LONG_RUN_FRAMES} frames: error {ratio:.2f} times PyTorch's own; by quarter {shown}"
        )
        return Check("long run", bool(ratio <= ALLOWED_RATIO), detail)

    def _quarter(self, outputs: Mapping[str, Array], truth: Truth, index: int) -> float:
        """The largest absolute error in one quarter of the run."""
        length = LONG_RUN_FRAMES // 4
        worst = 0.0
        for port in self.contract.outputs:
            if port.time_axis is None or port.dtype == "bool":
                continue
            part = range(index * length, (index + 1) * length)
            got = outputs[port.name].take(part, axis=port.time_axis)
            exact = truth.outputs[port.name].exact.take(part, axis=port.time_axis)
            worst = max(worst, float(np.abs(got - exact).max()))
        return worst


def _distance(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    return max(
        (float(np.abs(a[name].astype(np.float64) - b[name]).max()) for name in a if a[name].size),
        default=0.0,
    )
