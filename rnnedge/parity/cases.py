"""One run of the file beside what the module gives: what proofs and golden files are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnedge.parity.measure import Array, Truth
from rnnedge.parity.playback import frames_of, play, push
from rnnedge.parity.signals import cut
from rnnedge_runtime import Model, Port


@dataclass(frozen=True)
class Restart:
    """One row of a stream begins a signal of its own, while the others go on.

    Attributes:
        row: that is reset.
        frames: pushed before.
        truth: of the signal that begins there.
    """

    row: int
    frames: int
    truth: Truth


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        check: the question that it belongs to.
        batch: rows.
        inputs: of the whole signal, by name.
        lengths: of pushes; None is one run of the whole sequence. After a restart, of what follows.
        truth: what the module gives: of states, those that are to be compared only.
        start: initial states, by name; the file's own where a name is left out.
        restart: of one row, if there is one.
    """

    check: str
    batch: int
    inputs: Mapping[str, Array]
    lengths: tuple[int, ...] | None
    truth: Truth
    start: Mapping[str, Array] = field(default_factory=dict)
    restart: Restart | None = None


@dataclass(frozen=True)
class Result:
    """What the file gave: whole outputs without what precedes the signal, and final states."""

    outputs: dict[str, Array]
    states: dict[str, Array]


def run_case(model: Model, case: Case) -> Result:
    """Runs the file as the case says. Not for a case with a restart; see `run_restart`."""
    if case.lengths is None:
        whole = model.run(case.inputs)
        return Result(whole.outputs, whole.states)
    stream = model.stream(case.batch)
    if case.start:
        stream.set_state(case.start)
    played = play(stream, case.inputs, case.lengths)
    return Result(played.outputs(), played.states)


def run_restart(model: Model, case: Case, restart: Restart) -> dict[str, Array]:
    """What was emitted after one row was reset, by output."""
    assert case.lengths is not None  # noqa: S101 - a restart is of a stream
    after = sum(case.lengths)
    first, second = cut(case.inputs, model.contract, [restart.frames, after])
    stream = model.stream(case.batch)
    push(stream, first, [restart.frames])
    stream.reset(rows=[restart.row])
    return play(stream, second, case.lengths).emitted


def aligned_row(port: Port, emitted: Array, row: int, before: int) -> tuple[Array, int]:
    """One row of what an output emitted after `before` emissions of its signal.

    Returns:
        It, without what precedes the signal, and the frame of the signal that it begins with.
    """
    assert port.batch_axis is not None  # noqa: S101 - asked by the caller
    skipped, done = max(port.delay - before, 0), max(before - port.delay, 0)
    return frames_of(port, emitted, skipped).take([row], port.batch_axis), done
