"""The loop that a user of a plain runtime writes: each result of a state is its next input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rnnedge.benchmark.peers.protocol import CannotRunError, PeerStep
from rnnedge.benchmark.subject import Subject
from rnnedge.parity.measure import Array


def fed_back(
    subject: Subject, run: Callable[[dict[str, Array]], Sequence[Array]], results: Sequence[str]
) -> PeerStep:
    """A step that carries its state.

    Args:
        subject: whose contract names states.
        run: arrays by the graph's input names to the graph's results.
        results: the names of these, in order.

    Raises:
        CannotRunError: one call of ours is several runs of the file.
    """
    if subject.runs > 1:
        most = subject.model.contract.chunk_most
        raise CannotRunError(f"a run takes {most} frames at most: give --chunk {most}")
    contract = subject.model.contract
    places = {name: index for index, name in enumerate(results)}
    outputs = [(port.name, places[port.name]) for port in contract.outputs]
    carried = [(state.input, places[state.output]) for state in contract.states]
    initial = subject.model.initial_state(subject.batch)
    states = {state.input: initial[state.name] for state in contract.states}

    def step(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        found = run({**inputs, **states})
        for name, place in carried:
            states[name] = found[place]
        return {name: found[place] for name, place in outputs}

    return step
