"""Repeats a graph that takes exactly one frame, so that it takes any number of them.

The whole graph becomes the body of one `Scan`: states are its loop state, and each iteration gets
one frame. So the file keeps the contract's promise: chunks of any length give the same.

Rules:
    1. An input's time axis of ``frame * time`` entries is divided into ``[time, frame]``; the scan
       runs over the first of these.
    2. An output whose time axis the user named has the iterations' entries joined along that axis.
       Any other gets a new axis, after the batch or else first.
    3. An input without time is seen by every iteration as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import helper

from rnnedge.adoption.naming import Named
from rnnedge.adoption.rewrite import constant, rename_values, value_info
from rnnedge_runtime.contract import State

_PREFIX = "frame/"


@dataclass(frozen=True)
class Stacked:
    """How the results of the iterations become an output.

    Attributes:
        name: of the output.
        axis: where time lies in the result.
        joined: whether that axis was there already, in one frame.
    """

    name: str
    axis: int
    joined: bool


def repeat_frames(
    model: onnx.ModelProto,
    inputs: Sequence[Named],
    states: Sequence[State],
    outputs: Sequence[Stacked],
    dtypes: Mapping[str, str],
) -> None:
    """Edits `model`.

    Args:
        model: takes one frame per run.
        inputs: its data inputs.
        states: its states.
        outputs: its data outputs.
        dtypes: of the outputs, by name.
    """
    body, graph = model.graph, onnx.GraphProto(name=model.graph.name or "stream")
    timed = [port for port in inputs if port.time_axis is not None]
    for port in inputs:
        graph.input.append(value_info(port.name, port.dtype, [_free(d) for d in port.shape]))
    for state in states:
        graph.input.append(value_info(state.input, state.dtype, [_free(d) for d in state.shape]))
    scanned = [_divide(graph, port) for port in timed]
    inner = {s.input for s in states} | {s.output for s in states}
    inner |= {port.name for port in timed} | {output.name for output in outputs}
    rename_values(body, {name: _PREFIX + name for name in inner})
    _order(body, states, timed, outputs)
    stacked = [f"{output.name}.frames" if output.joined else output.name for output in outputs]
    graph.node.append(
        helper.make_node(
            "Scan",
            [*(state.input for state in states), *scanned],
            [*(state.output for state in states), *stacked],
            name="frames",
            body=body,
            num_scan_inputs=len(timed),
            scan_input_axes=[port.time_axis for port in timed],
            scan_output_axes=[output.axis for output in outputs],
        )
    )
    for output, name in zip(outputs, stacked, strict=True):
        if output.joined:
            _join(graph, name, output)
        graph.output.append(helper.make_empty_tensor_value_info(output.name))
        kind = value_info("", dtypes[output.name], []).type.tensor_type.elem_type
        graph.output[-1].type.tensor_type.elem_type = kind
    for state in states:
        graph.output.append(value_info(state.output, state.dtype, [_free(d) for d in state.shape]))
    model.graph.CopyFrom(graph)


def _free(dim: int | str) -> int | None:
    return dim if isinstance(dim, int) else None


def _order(
    body: onnx.GraphProto,
    states: Sequence[State],
    timed: Sequence[Named],
    outputs: Sequence[Stacked],
) -> None:
    """A scan's body takes states, then frames; it gives states, then results."""
    takes = [_PREFIX + name for name in (*(s.input for s in states), *(p.name for p in timed))]
    gives = [_PREFIX + name for name in (*(s.output for s in states), *(o.name for o in outputs))]
    inputs = {value.name: value for value in body.input}
    results = {value.name: value for value in body.output}
    ordered_inputs, ordered_outputs = [inputs[n] for n in takes], [results[n] for n in gives]
    del body.input[:], body.output[:]
    body.input.extend(ordered_inputs)
    body.output.extend(ordered_outputs)


def _divide(graph: onnx.GraphProto, port: Named) -> str:
    """Rule 1: ``[a, time * frame, b]`` becomes ``[a, time, frame, b]``."""
    axis, rank = port.time_axis, len(port.shape)
    assert axis is not None  # noqa: S101 - of a timed port
    middle = constant(graph, f"{port.name}.frame", [-1, port.frame])
    return _reshape(graph, port.name, f"{port.name}.frames", rank, axis, axis + 1, middle)


def _join(graph: onnx.GraphProto, name: str, output: Stacked) -> None:
    """Rule 2: ``[a, time, frame, b]`` becomes ``[a, time * frame, b]``."""
    middle = constant(graph, f"{name}.all", [-1])
    _reshape(graph, name, output.name, None, output.axis, output.axis + 2, middle)


def _reshape(
    graph: onnx.GraphProto,
    source: str,
    target: str,
    rank: int | None,
    before: int,
    after: int,
    middle: str,
) -> str:
    """Replaces the axes from `before` up to `after` by those of `middle`."""
    sizes = f"{target}.sizes"
    parts = []
    graph.node.append(helper.make_node("Shape", [source], [sizes], name=sizes))
    for name, start, end in (("head", 0, before), ("tail", after, 2**62)):
        is_empty = start == end or (name == "tail" and rank == after)
        if is_empty:
            continue
        bounds = [
            constant(graph, f"{target}.{name}.{w}", [v]) for w, v in (("a", start), ("b", end))
        ]
        part = f"{target}.{name}"
        graph.node.append(helper.make_node("Slice", [sizes, *bounds], [part], name=part))
        parts.append(part)
    parts.insert(1 if before else 0, middle)
    shape = f"{target}.shape"
    graph.node.append(helper.make_node("Concat", parts, [shape], name=shape, axis=0))
    graph.node.append(helper.make_node("Reshape", [source, shape], [target], name=f"{target}.view"))
    return target
