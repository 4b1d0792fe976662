"""Runs a float file on a user's data and notes between which numbers its activations lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.errors import QuantizeError
from rnnedge_exporters.quantize.frames import open_session
from rnnedge_exporters.quantize.quantize import layer_nodes, opened
from rnnedge_exporters.quantize.rounding import Range
from rnnedge_exporters.quantize.states import by_channel
from rnnedge_runtime import load


@dataclass(frozen=True)
class Calibration:
    """What was seen.

    Attributes:
        ranges: of each layer's first input and output, by name of value. Values inside of a
            ``Scan`` cannot be looked at, and are not among them.
        states: the largest size of each channel of a state after a run, by name of the state; see
            `channel_axis`.
    """

    ranges: dict[str, Range]
    states: dict[str, np.ndarray]


def calibrate(data: bytes, chunks: Iterable[Mapping[str, np.ndarray]]) -> Calibration:
    """Streams through the file whose bytes are `data`.

    Args:
        data: of a float file with a contract.
        chunks: of one signal, in order; arrays by input name, each a run that the contract allows.

    Raises:
        QuantizeError: a state becomes NaN; or as `opened`.
    """
    model, contract = opened(data)
    watched = _watched(model)
    known = {str(value.name) for value in model.graph.outputs}
    model.graph.outputs.extend(value for value in watched if value.name not in known)
    session = open_session(ir.to_proto(model).SerializeToString())
    names = [str(value.name) for value in watched]
    after = [state.output for state in contract.states]
    states: dict[str, np.ndarray] | None = None
    ranges: dict[str, Range] = {}
    largest: dict[str, np.ndarray] = {}
    for run, chunk in enumerate(chunks):
        if states is None:
            states = _initial(data, chunk)
        results = session.run([*names, *after], {**chunk, **states})
        states = dict(zip([s.input for s in contract.states], results[len(names) :], strict=True))
        for name, array in zip(names, results, strict=False):
            if array.size:
                seen = Range(float(array.min()), float(array.max()))
                ranges[name] = ranges[name].joined(seen) if name in ranges else seen
        for state in contract.states:
            sizes = by_channel(state, np.abs(states[state.input]))
            if np.isnan(sizes).any():
                raise QuantizeError(
                    "the float file gives NaN for the calibration data",
                    where=f"state {state.name!r}, after run {run + 1}",
                    fix="look at the data: rnnedge run tells of NaN and infinity in an input",
                )
            largest[state.name] = np.maximum(largest.get(state.name, sizes), sizes)
    return Calibration(ranges, largest)


def _watched(model: ir.Model) -> list[ir.Value]:
    """First inputs and outputs of layers in the main graph, each once."""
    found: dict[str, ir.Value] = {}
    for node in layer_nodes(model):
        if node.graph is not model.graph or node.op_type == "Gather":
            continue
        for value in (node.inputs[0], node.outputs[0]):
            if value is not None and value.name:
                value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
                found[value.name] = value
    return [value for value in found.values() if not value.is_graph_input()] + [
        value for value in found.values() if value.is_graph_input()
    ]


def _initial(data: bytes, chunk: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """States of as many rows as the first chunk has, by input name."""
    contract = (model := load(data)).contract
    port = contract.inputs[0]
    batch = 1 if port.batch_axis is None else chunk[port.name].shape[port.batch_axis]
    first = model.initial_state(batch)
    return {state.input: first[state.name] for state in contract.states}
