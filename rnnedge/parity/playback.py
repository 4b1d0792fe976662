"""Plays inputs through a stream in chunks, to the end, and joins what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnedge.parity.measure import Array
from rnnedge.parity.signals import cut
from rnnedge_runtime import Contract, Port, Stream
from rnnedge_runtime.contract import TIME, dim_factor


@dataclass(frozen=True)
class Played:
    """What a stream gave.

    Attributes:
        emitted: all pushes and the flush, joined along time, by output; the value at the end for
            an output without a time axis.
        states: after the last push, before the flush.
    """

    contract: Contract
    emitted: dict[str, Array]
    states: dict[str, Array]

    def outputs(self) -> dict[str, Array]:
        """What was emitted, without what precedes the signal."""
        return {
            port.name: frames_of(port, self.emitted[port.name], port.delay)
            for port in self.contract.outputs
        }


def play(stream: Stream, inputs: Mapping[str, Array], lengths: Sequence[int]) -> Played:
    """Pushes chunks of these lengths and ends the signal."""
    contract = stream.model.contract
    parts = push(stream, inputs, lengths)
    states = stream.state
    parts.append(_by_name(stream.flush(), contract))
    emitted = {
        port.name: parts[-1][port.name]
        if port.time_axis is None
        else np.concatenate([part[port.name] for part in parts], axis=port.time_axis)
        for port in contract.outputs
    }
    return Played(contract, emitted, states)


def push(
    stream: Stream, inputs: Mapping[str, Array], lengths: Sequence[int]
) -> list[dict[str, Array]]:
    """Pushes chunks of these lengths; the outputs of each, by name."""
    contract = stream.model.contract
    if any(port.time_axis is None for port in contract.outputs):
        # Such an output is the value after the last frame pushed: there has to be one.
        lengths = [length for length in lengths if length]
    return [
        _by_name(stream.push(chunk), contract) for chunk in cut(inputs, contract, list(lengths))
    ]


def frames_of(port: Port, array: Array, start: int, stop: int | None = None) -> Array:
    """A part of an output along time; all of it where it has no time."""
    if port.time_axis is None:
        return array
    entries = dim_factor(port.shape[port.time_axis], TIME)
    span = slice(start * entries, None if stop is None else stop * entries)
    return array[(*(slice(None),) * port.time_axis, span)]


def _by_name(outputs: Array | dict[str, Array], contract: Contract) -> dict[str, Array]:
    return outputs if isinstance(outputs, dict) else {contract.outputs[0].name: outputs}
