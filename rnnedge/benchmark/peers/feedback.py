"""The loop that a user of a plain runtime writes: each result of a state is its next input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnnedge.benchmark.peers.protocol import CannotRunError, PeerStep
from rnnedge.benchmark.subject import Subject
from rnnedge.parity.measure import Array
from rnnedge.report.units import frames_text

Run = Callable[[dict[str, Any]], Sequence[Any]]
"""Values by the graph's input names to the graph's results; values of the runtime's own kind."""


def fed_back(
    subject: Subject, run: Run, results: Sequence[str], to_numpy: Callable[[Any], Array]
) -> PeerStep:
    """A step that carries its state; only outputs become numpy arrays.

    Args:
        subject: whose contract names states.
        run: takes numpy arrays, and as states what it gave.
        results: the names of what it gives, in order.
        to_numpy: of what it gives.

    Raises:
        CannotRunError: one call of ours is several runs of the file.
    """
    refuse_parts(subject)
    contract = subject.model.contract
    places = {name: index for index, name in enumerate(results)}
    outputs = [(port.name, places[port.name]) for port in contract.outputs]
    carried = [(state.input, places[state.output]) for state in contract.states]
    states: dict[str, Any] = initial_by_input(subject)

    def step(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        found = run({**inputs, **states})
        for name, place in carried:
            states[name] = found[place]
        return {name: to_numpy(found[place]) for name, place in outputs}

    return step


def refuse_parts(subject: Subject) -> None:
    """A peer runs the graph once per call.

    Raises:
        CannotRunError: one call of ours is several runs of the file.
    """
    if subject.runs > 1:
        most = subject.model.contract.chunk_most or 1
        raise CannotRunError(f"a run takes {frames_text(most)} at most: give --chunk {most}")


def initial_by_input(subject: Subject) -> dict[str, Array]:
    """Initial states by the graph's input names."""
    initial = subject.model.initial_state(subject.batch)
    return {state.input: initial[state.name] for state in subject.model.contract.states}


def example(subject: Subject) -> dict[str, Array]:
    """Arrays for all inputs of the graph, in the sizes of a call."""
    return {**subject.inputs()[0], **initial_by_input(subject)}
