"""The questions asked of a stream, each a run of the file beside a run of the module."""

from __future__ import annotations

from collections.abc import Mapping

from rnnedge.parity.effects import Effects, distance
from rnnedge.parity.measure import Array, Reference
from rnnedge.parity.oracle import Truth
from rnnedge.parity.playback import Played, frames_of, play, push
from rnnedge.parity.report import Check
from rnnedge.parity.signals import cut
from rnnedge.parity.spans import LONG_RUN_CHUNK, MANY_FRAMES
from rnnedge.parity.trials import Trials
from rnnedge_exporters.errors import CaptureError
from rnnedge_runtime import Port, Stream

_STEPS = 1000
"""So many runs of the smallest size; what remains of a longer signal goes in one."""


class StreamTrials(Trials):
    """A stream: chunked, from any state, reset, perturbed, and for long."""

    _shared: tuple[int, int, dict[str, Array], Truth] | None = None

    def run(self) -> list[Check]:
        """Asks, and returns the answers."""
        spans, multiple = self.spans, self.spans.multiple
        step = "one frame at a time" if multiple == 1 else f"{multiple} frames at a time"
        for batch in self.batches:
            self._whole(batch, spans.frames)
            self._chunked(step, batch, spans.frames, self._steps())
            self._chunked("random chunks", batch, spans.frames, self._random(spans.frames))
            if self._given():
                self._from_random_states(batch)
        left_out = self._odd(spans.odd) if spans.odd is not None else []
        if self._rows_are_apart():
            self._one_row_reset(3, 1)
        quarters = self._long_run()
        checks = [self.judge(name) for name in ("whole sequence", step, "random chunks")]
        if self._given():
            checks.append(self.judge("random initial states"))
        if self.contract.states:
            effects = Effects(self.model, self.oracle, self.signals, spans)
            checks += [self._reset(), *map(effects.check, self.contract.states)]
        if self._rows_are_apart():
            checks.append(self.judge("one row reset"))
        self.settings |= {"long_run_frames": spans.long_run, "chunk_multiple": multiple}
        return [
            *checks,
            *left_out,
            self.judge("long run", more=f"; by quarter {quarters}"),
            self._seen(),
        ]

    def _odd(self, frames: int) -> list[Check]:
        """A signal that is not a whole number of runs; says so where there is no truth to ask."""
        try:
            for batch in self.batches[:2]:
                self._whole(batch, frames)
                self._chunked("random chunks", batch, frames, self._random(frames))
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

    def _whole(self, batch: int, frames: int) -> None:
        inputs, truth = self._from_start(batch, frames)
        result = self.model.run(inputs)
        self._compare_run("whole sequence", batch, result.outputs, result.states, truth, frames)

    def _chunked(self, check: str, batch: int, frames: int, lengths: list[int]) -> None:
        inputs, truth = self._from_start(batch, frames)
        self._stream(check, batch, inputs, truth, lengths, self.model.stream(batch))

    def _from_start(self, batch: int, frames: int) -> tuple[dict[str, Array], Truth]:
        """What the file says of the start is on trial too: the module starts by itself."""
        if self._shared is not None and self._shared[:2] == (batch, frames):
            return self._shared[2:]
        inputs = self.signals.inputs(batch, frames)
        truth = self.oracle.run_from_start(inputs, self.model.initial_state(batch))
        if frames > MANY_FRAMES:
            self._shared = (batch, frames, inputs, truth)
        return inputs, truth

    def _from_random_states(self, batch: int) -> None:
        random = self.signals.states(batch)
        states = self.model.initial_state(batch) | {name: random[name] for name in self._given()}
        inputs = self.signals.inputs(batch, self.spans.frames)
        stream = self.model.stream(batch)
        stream.set_state(states)
        truth, lengths = self.oracle.run(inputs, states), self._random(self.spans.frames)
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
        played = play(stream, inputs, lengths)
        outputs = played.outputs()
        self._compare_run(check, batch, outputs, played.states, truth, sum(lengths))
        return outputs

    def _compare_run(
        self,
        check: str,
        batch: int,
        outputs: Mapping[str, Array],
        states: Mapping[str, Array],
        truth: Truth,
        frames: int,
    ) -> None:
        """States only where the file's and the module's are of the same moment."""
        self.compare(outputs, truth.outputs, check, batch)
        if frames % self.spans.multiple == 0:
            same = {name: states[name] for name in self._given()}
            self.compare(same, truth.states, check, batch)

    def _reset(self) -> Check:
        batch, frames = self.batches[-1], self.spans.frames
        inputs, lengths = self.signals.inputs(batch, frames), self._random(frames)
        fresh, used = self.model.stream(batch), self.model.stream(batch)
        expected = play(fresh, inputs, lengths)
        play(used, self.signals.inputs(batch, frames), lengths)
        used.reset()
        same = _equal(play(used, inputs, lengths), expected)
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
        frames = self.spans.frames
        before, truth = self._from_start(batch, 2 * frames)
        first, second = cut(before, self.contract, [frames, frames])
        fresh = self.oracle.run_from_start(second, self.model.initial_state(batch))
        stream = self.model.stream(batch)
        push(stream, first, [frames])
        stream.reset(rows=[row])
        emitted = play(stream, second, self._random(frames)).emitted
        for port in self.contract.outputs:
            if port.batch_axis is None:
                continue
            for index in range(batch):
                given = 0 if index == row else int(frames * port.ratio)
                side = (fresh if index == row else truth).outputs[port.name]
                self._compare_row(port, index, emitted[port.name], side, given)

    def _compare_row(
        self, port: Port, row: int, emitted: Array, whole: Reference, given: int
    ) -> None:
        """One row of what was emitted after `given` emissions of its signal."""
        assert port.batch_axis is not None  # noqa: S101 - asked by the caller
        skipped, done = max(port.delay - given, 0), max(given - port.delay, 0)
        got = frames_of(port, emitted, skipped).take([row], port.batch_axis)
        expected = Reference(
            frames_of(port, whole.exact, done).take([row], port.batch_axis),
            frames_of(port, whole.single, done).take([row], port.batch_axis),
        )
        self.ledgers[port.name].add(got, expected, "one row reset", emitted.shape[port.batch_axis])

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
        inputs, truth = self._from_start(1, frames)
        # One more than whole runs, so that there are frames held whenever there can be.
        chunk = LONG_RUN_CHUNK * multiple + (multiple > 1)
        lengths = [chunk] * (frames // chunk)
        lengths += [frames % chunk] if frames % chunk else []
        outputs = self._stream("long run", 1, inputs, truth, lengths, self.model.stream(1))
        errors = [_quarter_error(self.contract.outputs, outputs, truth, q) for q in range(4)]
        return ", ".join(f"{error:.2g}" for error in errors)


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


def _equal(a: Played, b: Played) -> bool:
    pairs = ((a.emitted, b.emitted), (a.states, b.states))
    return all(x[name].tobytes() == y[name].tobytes() for x, y in pairs for name in x)
