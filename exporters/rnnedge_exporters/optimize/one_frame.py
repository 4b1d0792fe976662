"""Pass: in a file that runs one frame at a time, the step of a scan stands in the graph itself.

onnxruntime starts a subgraph for each frame of a ``Scan``. Where there is one frame only, that is
all overhead.

Rules:
    1. A frame is taken out of its sequence, and what the step gives of it put into one, by their
       axis; where that axis was moved for the scan, without moving it.
    2. The state before the step is what the scan was given, that after it what the scan gives.
    3. A scan in a step is left as it is: it runs over something else than time.
    4. A scan over more than one frame of a run, or over something else, is left as it is.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rnnedge_exporters.optimize.values import become, whole_numbers

_AXES = "scan_input_axes"


def unroll_scans(model: ir.Model) -> None:
    """Edits `model` in place."""
    scans = [node for node in model.graph if node.op_type == "Scan" and _has_one_frame(node)]
    for number, node in enumerate(scans):
        _unroll(model.graph, node, f"step_{number}")
    RemoveUnusedNodesPass()(model)


def _has_one_frame(scan: ir.Node) -> bool:
    """Rule 4."""
    frames = scan.attributes["num_scan_inputs"].as_int()
    first = scan.inputs[len(scan.inputs) - frames]
    size = None if first is None or first.shape is None else first.shape[_axis(scan, _AXES, 0)]
    return size == 1


def _unroll(graph: ir.Graph, scan: ir.Node, name: str) -> None:
    body = scan.attributes["body"].as_graph()
    frames = scan.attributes["num_scan_inputs"].as_int()
    states = len(scan.inputs) - frames
    nodes = list(body)
    results = list(body.outputs)
    for node in nodes:
        for value in node.outputs:
            value.name = f"{name}.{value.name}"
    for value in list(body.initializers.values()):
        body.initializers.pop(str(value.name))
        value.name = f"{name}.{value.name}"
        graph.register_initializer(value)
    for place, (inside, outside) in enumerate(zip(body.inputs, scan.inputs, strict=True)):
        assert outside is not None  # noqa: S101 - a scan has no optional inputs
        if place >= states:
            axis = _axis(scan, _AXES, place - states)
            outside = _taken(graph, scan, outside, axis)
        results = [outside if result is inside else result for result in results]
        ir.convenience.replace_all_uses_with(inside, outside)
    for node in nodes:
        body.remove(node)
        graph.insert_before(scan, node)
    for place, (given, result) in enumerate(zip(scan.outputs, results, strict=True)):
        is_state = place < states
        of_frames = None if is_state else _axis(scan, "scan_output_axes", place - states)
        _put(graph, scan, given, result, of_frames)
    graph.remove(scan, safe=True)


def _axis(scan: ir.Node, attribute: str, place: int) -> int:
    axes = scan.attributes.get(attribute)
    return int(axes.as_ints()[place]) if axes is not None else 0


def _node(
    graph: ir.Graph, before: ir.Node, kind: str, value: ir.Value, axis: int | None
) -> ir.Node:
    inputs = [value]
    if axis is not None:
        inputs.append(whole_numbers(graph, f"axis_{axis}", [axis]))
    node = ir.node(kind, inputs)
    graph.insert_before(before, node)
    return node


def _taken(graph: ir.Graph, scan: ir.Node, sequence: ir.Value, axis: int) -> ir.Value:
    """Rule 1: the frame, without its axis."""
    moved = sequence.producer()
    if moved is not None and moved.op_type == "Transpose" and moved.inputs[0] is not None:
        perm = list(moved.attributes["perm"].as_ints())
        rest = [place for place in perm if place != perm[axis]]
        if rest == sorted(rest):
            sequence, axis = moved.inputs[0], perm[axis]
    frame = _node(graph, scan, "Squeeze", sequence, axis).outputs[0]
    frame.type = sequence.type
    return frame


def _put(
    graph: ir.Graph, scan: ir.Node, given: ir.Value, result: ir.Value, axis: int | None
) -> None:
    """Rules 1 and 2: what is read of the scan is read of the step."""
    if axis is not None:
        for use in list(given.uses()):
            moved = use.node
            if moved.op_type != "Transpose":
                continue
            perm = list(moved.attributes["perm"].as_ints())
            rest = [place for place in perm if place != axis]
            if rest == sorted(rest):
                new = _node(graph, scan, "Unsqueeze", result, perm.index(axis)).outputs[0]
                become(moved.outputs[0], new)
    if given.uses() or given.is_graph_output():
        kind = "Identity" if axis is None else "Unsqueeze"
        become(given, _node(graph, scan, kind, result, axis).outputs[0])
