"""A whole sequence through a stream: aligned and complete, as the whole-sequence model gives it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnedge_runtime.arrays import Array
from rnnedge_runtime.contract import TIME, Port, dim_factor
from rnnedge_runtime.stream import Outputs, Stream


def run_through_stream(
    stream: Stream, inputs: Mapping[str, Array], states: Mapping[str, Array], frames: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Pushes everything, flushes, and joins the two without what precedes the signal.

    Args:
        stream: a new one.
        inputs: of the whole sequence, by name; they must fit already.
        states: where the stream starts, by name; the initial value where a name is left out.
        frames: of the sequence.

    Returns:
        Outputs, and the states before the flush, by name.
    """
    ports = stream.model.contract.outputs
    stream.set_state(states)
    pushed = _by_name(stream.push(dict(inputs)), ports)
    final = {name: np.array(value) for name, value in stream.state.items()}
    tail = _by_name(stream.flush(), ports)
    outputs = {port.name: _joined(port, pushed, tail, frames) for port in ports}
    return outputs, final


def _by_name(outputs: Outputs, ports: tuple[Port, ...]) -> dict[str, Array]:
    return outputs if isinstance(outputs, dict) else {ports[0].name: outputs}


def _joined(
    port: Port, pushed: Mapping[str, Array], tail: Mapping[str, Array], frames: int
) -> Array:
    if port.time_axis is None:
        return tail[port.name]
    whole = np.concatenate([pushed[port.name], tail[port.name]], axis=port.time_axis)
    entries = dim_factor(port.shape[port.time_axis], TIME)
    span = slice(port.delay * entries, (port.delay + port.length_of(frames)) * entries)
    return np.ascontiguousarray(whole[(*(slice(None),) * port.time_axis, span)])
