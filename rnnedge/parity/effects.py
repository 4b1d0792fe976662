"""What is asked of each state alone: does it matter, and does it count right?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnedge.parity.measure import Array
from rnnedge.parity.oracle import Oracle
from rnnedge.parity.playback import push
from rnnedge.parity.report import Check
from rnnedge.parity.signals import Signals
from rnnedge.parity.spans import Spans
from rnnedge_runtime import Model, State

_LISTENED = (2, 2, 4, 8, 16, 32, 64)
"""Runs heard after a state is moved, each time in a signal of its own, until outputs follow."""


class Effects:
    """Asks about single states of a stream."""

    def __init__(self, model: Model, oracle: Oracle, signals: Signals, spans: Spans) -> None:
        self._model = model
        self._oracle = oracle
        self._signals = signals
        self._spans = spans

    def check(self, state: State) -> Check:
        """The question that suits the state's kind, and its answer."""
        if state.kind == "position":
            return self._counts(state.name)
        if state.kind == "length":
            return self._is_kept(state.name)
        return self._matters(state)

    def _matters(self, state: State) -> Check:
        """A state that is never read changes nothing when it is changed."""
        name = state.name
        # A ReLU can hide what moved at one moment, and frames put before a signal put it off; what
        # is never read stays hidden. A few frames first: what a cell forgets has no effect later.
        tries = (self._effect(state, runs) for runs in _LISTENED)
        effect = next((effect for effect in tries if effect > 0), 0.0)
        if effect > 0 or name in self._oracle.unseen or state.delay:
            return Check(f"state {name} matters", effect > 0, f"outputs move by {effect:.3g}")
        frames = max(_LISTENED[-1] * self._spans.multiple, self._spans.frames)
        inputs, states = self._signals.inputs(1, frames), self._model.initial_state(1)
        moved = states | {name: self._moved(states[name], name)}
        truths = [self._oracle.run(inputs, start).outputs for start in (states, moved)]
        theirs = distance(*({n: t.single for n, t in truth.items()} for truth in truths))
        detail = f"outputs do not move; in PyTorch they move by {theirs:.3g}"
        return Check(f"state {name} matters", theirs == 0, detail)

    def _effect(self, state: State, runs: int) -> float:
        """How far outputs move when the state does, in mid-signal where there is a delay.

        What a delay line holds at the start precedes the signal, and is never heard.
        """
        spans = self._spans
        before = spans.whole(spans.delay + self._reach(state))
        lengths = [before, runs * spans.multiple, before + self._reach(state)]
        inputs = self._signals.inputs(1, sum(lengths))
        stream = self._model.stream()
        push(stream, inputs, lengths[:1] if before else [])
        twin = stream.fork()
        twin.set_state({state.name: self._moved(stream.state[state.name], state.name)})
        rest = {
            port.name: inputs[port.name]
            if port.time_axis is None
            else inputs[port.name][(*(slice(None),) * port.time_axis, slice(before, None))]
            for port in self._model.contract.inputs
        }
        pairs = zip(*(push(side, rest, lengths[1:]) for side in (stream, twin)), strict=True)
        return max(distance(left, right) for left, right in pairs)

    def _reach(self, state: State) -> int:
        return self._spans.reach if state.kind in ("context", "buffer") else 0

    def _moved(self, value: Array, name: str) -> Array:
        if value.dtype == bool:
            return ~value
        if value.dtype.kind != "f":
            return np.asarray(value + 1, value.dtype)
        return np.asarray(value + self._signals.states(1)[name])

    def _counts(self, name: str) -> Check:
        stream, multiple = self._model.stream(), self._spans.multiple
        begun, wanted = stream.state[name], 0
        for frames in (3 * multiple, multiple):
            push(stream, self._signals.inputs(1, frames), [frames])
            wanted += frames
            found = stream.state[name] - begun
            if (found != wanted).any():
                detail = f"advanced by {int(found.flat[0])} in {wanted} frames"
                return Check(f"state {name} counts frames", passed=False, detail=detail)
        detail = f"advanced by {wanted} in {wanted} frames"
        return Check(f"state {name} counts frames", passed=True, detail=detail)

    def _is_kept(self, name: str) -> Check:
        stream = self._model.stream()
        begun, frames = stream.state[name], 2 * self._spans.multiple
        push(stream, self._signals.inputs(1, frames), [frames])
        kept = bool((stream.state[name] == begun).all())
        detail = f"{'unchanged' if kept else 'changed'} by {frames} frames"
        return Check(f"state {name} is handed on", kept, detail)


def distance(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    """The largest absolute difference."""
    pairs = [(a[name].astype(np.float64), b[name].astype(np.float64)) for name in a if a[name].size]
    with np.errstate(invalid="ignore"):
        return max((float(np.abs(x - y).max()) for x, y in pairs), default=0.0)
