"""Runs what was made beside the original, and asks whether it is the same stream.

Questions:
    1. Does every state matter, and does its next value depend on anything?
    2. Does the stream, in random chunks, give what the original gives in one run, or in a run for
       each frame if it takes exactly one; and that for several batches?
    3. Does a row alone give what it gives among others?
    4. Does a row that is reset start anew, and do the others notice nothing?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnedge.adoption.drive import Arrays, HandDriver
from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.options import Array
from rnnedge.adoption.result import Check
from rnnedge.adoption.signals import distance, frames_from, one_row, random_array, sizes_of
from rnnedge_runtime import Model, Stream
from rnnedge_runtime.contract import TIME, Port, State, dim_factor

TOLERANCE = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-10}
"""What two runs may differ by, relative to a tensor's largest value but at least to 1."""
FRAMES = 16


@dataclass
class Trial:
    """Everything that the questions need.

    Attributes:
        model: what was made.
        driver: the original.
        pairs: of state inputs and outputs in the original.
        one_by_one: whether the original takes exactly one frame per run.
        batches: numbers of rows to try.
        seed: of the random signals.
        where: the file, for errors.
        frames: of a signal.
    """

    model: Model
    driver: HandDriver
    pairs: Mapping[str, str]
    one_by_one: bool
    batches: Sequence[int]
    seed: int
    where: str
    frames: int = FRAMES
    _worst: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._states = {s.input: s for s in self.model.contract.states if s.input in self.pairs}

    def run(self) -> tuple[Check, ...]:
        """Asks every question.

        Raises:
            AdoptionError: an answer is no.
        """
        matter = [
            Check(f"state {state.name} matters", self._matters(state))
            for state in self.model.contract.states
        ]
        for batch in self.batches:
            self._chunks(batch)
        batches = ", ".join(map(str, self.batches))
        checks = [
            Check(
                "random chunks",
                f"equal to the original {'frame by frame' if self.one_by_one else 'in one run'}, "
                f"{self.frames} frames, batches {batches}: {self._said('chunks')}",
            )
        ]
        if max(self.batches) > 1:
            self._rows(max(self.batches))
            checks.append(Check("rows apart", f"a row alone gives the same: {self._said('rows')}"))
            if self._can_reset_rows():
                self._reset_row(max(self.batches))
                checks.append(Check("one row reset", f"starts anew alone: {self._said('reset')}"))
        return (*checks, *matter)

    def _chunks(self, batch: int) -> None:
        inputs, stream = self.inputs(batch, self.frames), self.model.stream(batch)
        before = {s.input: stream.state[s.name] for s in self._states.values()}
        whole = self.driver.drive(inputs, before, self._runs(self.frames))
        pieces, start = [], 0
        for length in self._random_lengths():
            pieces.append(self._push(stream, inputs, start, length))
            start += length
        for port in self.model.contract.outputs:
            got = self._collect(port, pieces)
            expected = self._expected(port, whole.outputs)
            self._same(f"output {port.name!r}", got, expected, "chunks", self._advice())
        after = stream.state
        for source, state in self._states.items():
            told = f"state {state.name!r}"
            self._same(told, after[state.name], whole.states[source], "chunks", self._advice())

    def _runs(self, frames: int) -> list[int]:
        """Frames of each run of the original."""
        return [1] * frames if self.one_by_one else [frames]

    def _random_lengths(self) -> list[int]:
        """Lengths that add up to all frames; single frames and none at all among them."""
        cuts = np.sort(self._random.integers(0, self.frames - 1, self.frames // 3))
        edges = np.concatenate([[0], cuts, [self.frames - 1, self.frames]])
        return [int(length) for length in np.diff(edges)]

    def _advice(self) -> str:
        if self.one_by_one:
            return "report it: the stream should be the original, frame by frame"
        return (
            "check the state pairs (--state) and the axes (--axes); if one run takes exactly N "
            "entries and gives one result for them, write 'N*time'"
        )

    def _push(self, stream: Stream, inputs: Arrays, start: int, length: int) -> Arrays:
        chunk = {}
        for port in self.model.contract.inputs:
            array = inputs[port.name]
            if port.time_axis is not None:
                factor = dim_factor(port.shape[port.time_axis], TIME)
                part = slice(start * factor, (start + length) * factor)
                array = array[(slice(None),) * port.time_axis + (part,)]
            chunk[port.name] = array
        if length == 0 and any(port.time_axis is None for port in self.model.contract.outputs):
            return {}
        outputs = stream.push(chunk)
        if isinstance(outputs, dict):
            return outputs
        return {self.model.contract.outputs[0].name: outputs}

    def _collect(self, port: Port, pieces: Sequence[Arrays]) -> Array:
        found = [piece[port.name] for piece in pieces if port.name in piece]
        return found[-1] if port.time_axis is None else np.concatenate(found, port.time_axis)

    def _expected(self, port: Port, runs: Sequence[Arrays]) -> Array:
        found = [run[port.name] for run in runs]
        if port.time_axis is None:
            return found[-1]
        stack = np.stack if found[0].ndim < len(port.shape) else np.concatenate
        return np.asarray(stack(found, axis=port.time_axis))

    def _rows(self, batch: int) -> None:
        inputs, states = self.inputs(batch, self.frames), self._random_states(batch)
        lengths = self._runs(self.frames)
        together = self.driver.drive(inputs, states, lengths)
        for row in range(batch):
            mine = {
                p.name: one_row(p, inputs[p.name], row, batch) for p in self.model.contract.inputs
            }
            start = {n: one_row(self._states[n], states[n], row, batch) for n in states}
            alone = self.driver.drive(mine, start, lengths)
            for port in self.model.contract.outputs:
                if port.batch_axis is None:
                    continue
                expected = one_row(port, self._expected(port, together.outputs), row, batch)
                got = self._expected(port, alone.outputs)
                self._same(f"output {port.name!r}, row {row}", got, expected, "rows", _ROWS_MIX)
            for source, state in self._states.items():
                expected = one_row(state, together.states[source], row, batch)
                told = f"state {state.name!r}, row {row}"
                self._same(told, alone.states[source], expected, "rows", _ROWS_MIX)

    def _can_reset_rows(self) -> bool:
        contract = self.model.contract
        tensors: tuple[Port | State, ...] = (*contract.states, *contract.inputs)
        return all(tensor.batch_axis is not None for tensor in tensors)

    def _reset_row(self, batch: int) -> None:
        """Row 1 begins anew in the middle of the signal; the others notice nothing."""
        half = self.frames // 2
        inputs, stream = self.inputs(batch, 2 * half), self.model.stream(batch)
        start = {source: stream.state[s.name] for source, s in self._states.items()}
        second = {p.name: frames_from(p, inputs[p.name], half) for p in self.model.contract.inputs}
        whole = self.driver.drive(inputs, start, self._runs(2 * half))
        fresh = self.driver.drive(second, start, self._runs(half))
        self._push(stream, inputs, 0, half)
        stream.reset(rows=[1])
        got = self._push(stream, inputs, half, half)
        for port in self.model.contract.outputs:
            if port.batch_axis is None:
                continue
            expected = self._expected(port, fresh.outputs)
            told = f"output {port.name!r}"
            one = [one_row(port, array, 1, batch) for array in (got[port.name], expected)]
            self._same(f"{told}, row 1", one[0], one[1], "reset", _NOT_BY_ROWS)
            others = self._expected(port, whole.outputs)
            if port.time_axis is not None:
                others = frames_from(port, others, half)
            one = [one_row(port, array, 0, batch) for array in (got[port.name], others)]
            self._same(f"{told}, row 0", one[0], one[1], "reset", _NOT_BY_ROWS)

    def _matters(self, state: State) -> str:
        batch = max(self.batches)
        inputs = self.inputs(batch, self.frames)
        before = self.model.initial_state(batch)
        moved = before | {state.name: self._moved(before[state.name])}
        one, other = (self.model.run(inputs, start) for start in (before, moved))
        third = self.model.run(self.inputs(batch, self.frames), moved)
        self._check_next(state, moved, [one.states, other.states, third.states])
        effect = max(distance(one.outputs[n], other.outputs[n]) for n in one.outputs)
        if effect == 0:
            raise AdoptionError(
                "the state has no effect: whatever it holds, the outputs are the same",
                where=f"state {state.name!r}, {self.where}",
                fix="it is no state, or another output is its next value; if the input never "
                "changes, store its value with --set",
            )
        return f"outputs move by {effect:.2g}"

    def _check_next(self, state: State, moved: Arrays, after: Sequence[Arrays]) -> None:
        values = [found[state.name] for found in after]
        if all(np.array_equal(values[0], value) for value in values[1:]):
            raise AdoptionError(
                f"output {state.output!r} is the same for whatever comes in: it is no next value",
                where=f"--state {state.input}={state.output}, {self.where}",
                fix="name the output that depends on the signal and on the state",
            )
        if all(np.array_equal(found[state.name], moved[state.name]) for found in after[1:]):
            raise AdoptionError(
                f"output {state.output!r} hands {state.input!r} on unchanged: it keeps nothing",
                where=f"--state {state.input}={state.output}, {self.where}",
                fix="leave the pair out; store the input's value with --set",
            )

    def _same(self, told: str, got: Array, expected: Array, check: str, advice: str) -> None:
        if got.shape != expected.shape:
            raise AdoptionError(
                f"shape {list(got.shape)} in {_CHECKS[check]}, {list(expected.shape)} expected",
                where=f"{told}, {self.where}",
                fix=advice,
            )
        if not got.size:
            return
        error = distance(got, expected)
        largest = max(1.0, float(np.abs(expected.astype(np.float64)).max()))
        allowed = TOLERANCE.get(expected.dtype.name, 0.0) * largest
        if not error <= allowed:  # NaN, too
            raise AdoptionError(
                f"it differs by {error:.3g} in {_CHECKS[check]}, {allowed:.1g} is allowed",
                where=f"{told}, {self.where}",
                fix=advice,
            )
        self._worst[check] = max(self._worst.get(check, 0.0), error)

    def _said(self, check: str) -> str:
        error = self._worst.get(check, 0.0)
        return "bit for bit" if error == 0 else f"largest difference {error:.2g}"

    def inputs(self, batch: int, frames: int) -> Arrays:
        """A random signal: floats of variance 1, whole numbers of 0 and 1."""
        return {p.name: self._signal(p, batch, frames) for p in self.model.contract.inputs}

    def _signal(self, port: Port, batch: int, frames: int) -> Array:
        return random_array(self._random, port.dtype, sizes_of(port, batch, frames))

    def _random_states(self, batch: int) -> Arrays:
        start = self.model.initial_state(batch)
        return {source: self._moved(start[s.name]) for source, s in self._states.items()}

    def _moved(self, value: Array) -> Array:
        if value.dtype.kind == "f":
            noise = self._random.uniform(-1, 1, value.shape)
            return np.asarray(value + noise.astype(value.dtype))
        if value.dtype.kind == "b":
            return np.logical_not(value)
        return np.asarray(value + np.ones((), value.dtype))


_CHECKS = {
    "chunks": "random chunks",
    "rows": "a row alone",
    "reset": "a stream of which one row was reset",
}
_NOT_BY_ROWS = "the batch axis of a state is wrong: name its axes with --axes"
_ROWS_MIX = (
    "the file mixes the rows of the batch, or an axis is wrong: name it by its size, with --axes, "
    "and open one stream per signal"
)
