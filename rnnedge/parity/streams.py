"""The questions asked of a stream, each a run of the file beside a run of the module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

from rnnedge.parity.asking import Asking
from rnnedge.parity.cases import Case, Restart
from rnnedge.parity.effects import Effects, distance
from rnnedge.parity.measure import Array, Truth
from rnnedge.parity.options import chunk_check
from rnnedge.parity.report import Check
from rnnedge.parity.signals import cut
from rnnedge.parity.spans import LONG_RUN_CHUNK, MANY_FRAMES
from rnnedge_exporters.errors import CaptureError
from rnnedge_runtime import Port

_STEPS = 1000
"""So many runs of the smallest size; what remains of a longer signal goes in one."""
_PUSHES = 3
"""A signal takes at least so many rounds of the pushes that were asked for."""


class StreamTrials(Asking):
    """A stream: chunked, from any state, reset, perturbed, and for long."""

    _shared: tuple[int, int, dict[str, Array], Truth] | None = None

    def run(self) -> list[Check]:
        """Asks, and returns the answers."""
        spans, multiple = self.spans, self.spans.multiple
        step = "one frame at a time" if multiple == 1 else f"{multiple} frames at a time"
        for batch in self.batches:
            for case in self._of_batch(batch, step):
                self.ask(case)
        left_out = self._odd(spans.odd) if spans.odd is not None else []
        if self._rows_are_apart():
            self.ask(self._one_row_reset(3, 1))
        quarters = self._long_run()
        names = ["whole sequence", step, "random chunks"]
        names += [chunk_check(pattern) for pattern in self.options.chunks]
        checks = [self.judge(name) for name in names]
        if self._given():
            checks.append(self.judge("random initial states"))
        if self.contract.states:
            effects = Effects(self.model, self.oracle, self.signals, spans)
            checks += [self._reset(), *map(effects.check, self.contract.states)]
        if self._rows_are_apart():
            checks.append(self.judge("one row reset"))
        self.settings |= {"long_run_frames": spans.long_run, "chunk_multiple": multiple}
        if self.options.chunks:
            self.settings["chunks"] = [list(pattern) for pattern in self.options.chunks]
        return [
            *checks,
            *left_out,
            self.judge("long run", more=f"; by quarter {quarters}"),
            self._seen(),
        ]

    def _of_batch(self, batch: int, step: str) -> Iterator[Case]:
        frames = self.spans.frames
        yield self._from_start("whole sequence", batch, frames, None)
        yield self._from_start(step, batch, frames, self._steps())
        yield self._from_start("random chunks", batch, frames, self._random(frames))
        for pattern in self.options.chunks:
            length = self.spans.whole(max(frames, _PUSHES * sum(pattern)))
            lengths = _repeated(pattern, length)
            yield self._from_start(chunk_check(pattern), batch, length, lengths)
        if self._given():
            yield self._from_random_states(batch)

    def _odd(self, frames: int) -> list[Check]:
        """A signal that is not a whole number of runs; says so where there is no truth to ask."""
        try:
            for batch in self.batches[:2]:
                self.ask(self._from_start("whole sequence", batch, frames, None))
                lengths = self._random(frames)
                self.ask(self._from_start("random chunks", batch, frames, lengths))
        except CaptureError:  # the module wants whole groups of frames, so there is no truth
            detail = f"not asked: forward itself refuses a signal of {frames} frames"
            return [Check("length that is no multiple", passed=True, detail=detail)]
        return []

    def _steps(self) -> list[int]:
        """Runs of the smallest size; with frames held in between, if there can be any."""
        frames, multiple = self.spans.frames, self.spans.multiple
        first = [1] if multiple > 1 else []
        steps = min(frames // multiple - len(first), _STEPS)
        rest = frames - steps * multiple - sum(first)
        return [*first, *[multiple] * steps, *([rest] if rest else [])]

    def _random(self, frames: int) -> list[int]:
        return self.signals.chunks(frames, around=4 * self.spans.multiple)

    def _given(self) -> list[str]:
        """States that can be given to both: the module has them, at the same moment."""
        return [
            state.name
            for state in self.contract.states
            if state.name not in self.oracle.unseen and state.delay == 0
        ]

    def _from_start(
        self, check: str, batch: int, frames: int, lengths: Sequence[int] | None
    ) -> Case:
        inputs, truth = self._signal(batch, frames)
        chunks = None if lengths is None else tuple(lengths)
        return Case(check, batch, inputs, chunks, self._comparable(truth, frames))

    def _signal(self, batch: int, frames: int) -> tuple[dict[str, Array], Truth]:
        """What the file says of the start is on trial too: the module starts by itself."""
        if self._shared is not None and self._shared[:2] == (batch, frames):
            return self._shared[2:]
        inputs = self.signals.inputs(batch, frames)
        truth = self.oracle.run_from_start(inputs, self.model.initial_state(batch))
        if frames > MANY_FRAMES:
            self._shared = (batch, frames, inputs, truth)
        return inputs, truth

    def _comparable(self, truth: Truth, frames: int) -> Truth:
        """States only where the file's and the module's are of the same moment."""
        names = self._given() if frames % self.spans.multiple == 0 else []
        return Truth(truth.outputs, {n: truth.states[n] for n in names if n in truth.states})

    def _from_random_states(self, batch: int) -> Case:
        random, frames = self.signals.states(batch), self.spans.frames
        start = {name: random[name] for name in self._given()}
        inputs = self.signals.inputs(batch, frames)
        truth = self.oracle.run(inputs, self.model.initial_state(batch) | start)
        lengths = tuple(self._random(frames))
        truth = self._comparable(truth, frames)
        return Case("random initial states", batch, inputs, lengths, truth, start)

    def _reset(self) -> Check:
        batch, frames = self.batches[-1], self.spans.frames
        inputs, lengths = self.signals.inputs(batch, frames), self._random(frames)
        return self.replay(batch, inputs, self.signals.inputs(batch, frames), tuple(lengths))

    def _rows_are_apart(self) -> bool:
        """Whether one row can be reset alone."""
        states, inputs = self.contract.states, self.contract.inputs
        return (
            self.has_batch
            and bool(states)
            and all(state.batch_axis is not None for state in states)
            and all(port.batch_axis is not None for port in inputs)
        )

    def _one_row_reset(self, batch: int, row: int) -> Case:
        """The row's second half is a signal of its own."""
        frames = self.spans.frames
        inputs, truth = self._signal(batch, 2 * frames)
        _, second = cut(inputs, self.contract, [frames, frames])
        fresh = self.oracle.run_from_start(second, self.model.initial_state(batch))
        restart = Restart(row, frames, Truth(fresh.outputs, {}))
        lengths, truth = tuple(self._random(frames)), Truth(truth.outputs, {})
        return Case("one row reset", batch, inputs, lengths, truth, restart=restart)

    def _seen(self) -> Check:
        """Every output, and every state that the module shows, has to be compared."""
        states = self.contract.states
        counts = [state.name for state in states if state.kind in ("position", "length")]
        unseen = {state.name for state in states} - set(self._given())
        missed = [n for n, ledger in self.ledgers.items() if not ledger.runs and n not in unseen]
        detail = f"{len(states) - len(unseen)} of {len(states)} states compared with the module's"
        by_effect = [s.name for s in states if s.name in unseen and s.name not in counts]
        notes = {
            "by their effect on outputs only": by_effect,
            "by their count of frames": counts,
            "never compared": missed,
        }
        detail += " own" + "".join(f"; {k}: {', '.join(v)}" for k, v in notes.items() if v)
        return Check("all compared", passed=not missed, detail=detail)

    def _long_run(self) -> str:
        """An error that grows with time would stand out against PyTorch's, which does not."""
        frames, multiple = self.spans.long_run, self.spans.multiple
        # One more than whole runs, so that there are frames held whenever there can be.
        lengths = _repeated([LONG_RUN_CHUNK * multiple + (multiple > 1)], frames)
        case = self._from_start("long run", 1, frames, lengths)
        outputs, ports = self.ask(case), self.contract.outputs
        errors = [_quarter_error(ports, outputs, case.truth, q) for q in range(4)]
        return ", ".join(f"{error:.2g}" for error in errors)


def _repeated(pattern: Sequence[int], frames: int) -> list[int]:
    """The pattern again and again, the last push cut to what is left."""
    lengths: list[int] = []
    left = frames
    for length in cycle(pattern):
        lengths.append(min(length, left))
        left -= lengths[-1]
        if not left:
            break
    return lengths


def _quarter_error(
    ports: tuple[Port, ...], outputs: Mapping[str, Array], truth: Truth, quarter: int
) -> float:
    errors = [0.0]
    for port in ports:
        got, exact = outputs[port.name], truth.outputs[port.name].exact
        if port.time_axis is not None and got.shape == exact.shape:
            length = got.shape[port.time_axis] // 4
            part = range(quarter * length, (quarter + 1) * length)
            pair = [{"": side.take(part, axis=port.time_axis)} for side in (got, exact)]
            errors.append(distance(*pair))
    return max(errors)
