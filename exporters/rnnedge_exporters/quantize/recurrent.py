"""Pass: RNN, GRU and LSTM as products of small integers, with gates and states in float.

Rules:
    1. Where the sequence of every run has one frame, the step stands in the graph itself.
    2. Elsewhere the products of the input are taken of all frames at once, and a ``Scan`` goes over
       them with the product of the state inside. A direction in reverse scans backwards.
    3. The states that come in and go out are those of the operator: float, same names and shapes.
    4. A layer computes in float if its bias is not stored in the file, if it has peepholes, lengths
       by row, a clip, an input gate coupled to the forget gate, activations other than the
       usual ones, or layout 1. `unfit` says which.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.nodes import input_at
from rnnedge_exporters.quantize.arrays import Ranges, stored
from rnnedge_exporters.quantize.cells import Cell
from rnnedge_exporters.quantize.products import Pair, Style
from rnnedge_exporters.quantize.writer import Writer

_USUAL: dict[str, tuple[list[str], ...]] = {
    "RNN": (["Tanh"], ["Relu"]),
    "GRU": (["Sigmoid", "Tanh"],),
    "LSTM": (["Sigmoid", "Tanh", "Tanh"],),
}
_LENGTHS, _PEEPHOLES = 4, 7


def unfit(node: ir.Node) -> str:
    """Rule 4: why a layer computes in float; empty if it need not."""
    bias = input_at(node, 3)
    if bias is not None and stored(bias) is None:
        return "its bias is not stored in the file"
    if input_at(node, _LENGTHS) is not None:
        return "it takes lengths by row"
    if input_at(node, _PEEPHOLES) is not None:
        return "it has peepholes"
    if node.attributes.get_float("clip", 0.0):
        return "it clips"
    if node.attributes.get_int("input_forget", 0):
        return "its input gate is coupled to the forget gate"
    if node.attributes.get_int("layout", 0):
        return "its batch axis comes first (layout 1)"
    return _unusual(node)


def _unusual(node: ir.Node) -> str:
    names = [name.lower() for name in node.attributes.get_strings("activations", ())]
    directions = len(_directions(node))
    usual = [[name.lower() for name in one] * directions for one in _USUAL[node.op_type]]
    if names and names not in usual:
        return f"its activations are {', '.join(names)}"
    return ""


def to_products(
    graph: ir.Graph, node: ir.Node, style: Style, *, one_frame: bool, ranges: Ranges | None = None
) -> None:
    """Puts a layer that is not `unfit` into products.

    Args:
        graph: the main graph, which `node` is in.
        node: is replaced.
        style: of the products.
        one_frame: the sequence of every run has one frame.
        ranges: of the node's first input and output, for static products.
    """
    writer = Writer(graph, node, str(node.name))
    cells = _cells(node, style, ranges)
    x = node.inputs[0]
    assert x is not None  # noqa: S101 - the operator's schema says so
    before = [_per_direction(writer, state, len(cells)) for state in _initial(writer, node, cells)]
    starts = [list(states) for states in zip(*before, strict=True)]
    names = _directions(node)
    sequences, ends = [], []
    for cell, states, name in zip(cells, starts, names, strict=True):
        inner = writer if len(cells) == 1 else Writer(graph, node, f"{node.name}/{name}")
        if one_frame:
            after = cell.step(inner, cell.of_input(inner, x), states)
            sequences.append(after[0])
        else:
            y, after = _scanned(inner, cell, x, states, is_reverse=name == "reverse")
            sequences.append(y)
        ends.append(after)
    _give(writer, node, sequences, ends, one_frame=one_frame)
    writer.drop(node)


def _directions(node: ir.Node) -> list[str]:
    name = node.attributes.get_string("direction", "forward")
    return ["forward", "reverse"] if name == "bidirectional" else [str(name)]


def _cells(node: ir.Node, style: Style, ranges: Ranges | None) -> list[Cell]:
    """The weights of each direction."""
    w, r = stored(node.inputs[1]), stored(node.inputs[2])
    assert w is not None  # noqa: S101 - it was planned so
    assert r is not None  # noqa: S101 - it was planned so
    hidden, b = r.shape[-1], stored(input_at(node, 3))
    if b is None:
        b = np.zeros((w.shape[0], 2 * w.shape[1]), np.float32)
    bias_w, bias_r = np.split(b, 2, axis=1)
    names = node.attributes.get_strings("activations", ())
    seen = ranges or {}
    x, y = node.inputs[0], node.outputs[0]
    pair_ranges = (seen.get(str(x and x.name)), seen.get(str(y.name)))
    return [
        Cell(
            node.op_type,
            Pair(style, w[d], r[d], pair_ranges),
            bias_w[d],
            bias_r[d],
            hidden,
            names[0].capitalize() if names and node.op_type == "RNN" else "Tanh",
            bool(node.attributes.get_int("linear_before_reset", 0)),
        )
        for d in range(w.shape[0])
    ]


def _initial(writer: Writer, node: ir.Node, cells: list[Cell]) -> list[ir.Value]:
    """Initial states, ``[directions, batch, hidden]``; zeros where there are none."""
    given = [input_at(node, place) for place in ((5, 6) if node.op_type == "LSTM" else (5,))]
    return [_zeros(writer, node, cells) if state is None else state for state in given]


def _zeros(writer: Writer, node: ir.Node, cells: list[Cell]) -> ir.Value:
    batch = writer.one("Shape", node.inputs[0], start=1, end=2)
    sizes = [writer.whole([len(cells)]), batch, writer.whole([cells[0].hidden])]
    shape = writer.one_of("Concat", sizes, axis=0)
    return writer.one("ConstantOfShape", shape, value=ir.tensor(np.zeros(1, np.float32)))


def _per_direction(writer: Writer, state: ir.Value, count: int) -> list[ir.Value]:
    """``[1, batch, hidden]`` for each direction."""
    return list(writer.split(state, [1] * count, axis=0))


def _scanned(
    writer: Writer, cell: Cell, x: ir.Value, states: list[ir.Value], *, is_reverse: bool
) -> tuple[ir.Value, list[ir.Value]]:
    """Rule 2: ``[time, batch, hidden]``, and the last states, ``[1, batch, hidden]``."""
    frames = cell.of_input(writer, x)
    flat = [writer.one("Squeeze", state, writer.whole([0])) for state in states]
    body = writer.body("frame")
    inside = [_tensor(f"{writer.name}/frame/state_{n}") for n in range(len(states))]
    frame = _tensor(f"{writer.name}/frame/of_input")
    after = cell.step(body, frame, list(inside))
    y = body.one("Identity", after[0])
    for value in (*after, y):
        value.type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph([*inside, frame], [*after, y], nodes=body.nodes, name=f"{writer.name}/frame")
    results = writer.many(
        "Scan",
        [*flat, frames],
        len(states) + 1,
        body=graph,
        num_scan_inputs=1,
        scan_input_directions=[int(is_reverse)],
        scan_output_directions=[int(is_reverse)],
    )
    ends = [writer.one("Unsqueeze", state, writer.whole([0])) for state in results[:-1]]
    return results[-1], ends


def _tensor(name: str) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT))


def _give(
    writer: Writer,
    node: ir.Node,
    sequences: list[ir.Value],
    ends: list[list[ir.Value]],
    *,
    one_frame: bool,
) -> None:
    """Rule 3: what the operator gave, ``[time, directions, batch, hidden]`` and states."""
    for place, old in enumerate(node.outputs[1:]):
        if old.uses() or old.is_graph_output():
            parts = [states[place] for states in ends]
            whole = parts[0] if len(parts) == 1 else writer.one_of("Concat", parts, axis=0)
            writer.replace(old, whole)
    y = node.outputs[0]
    if len(sequences) == 1:
        # [1, batch, hidden] is what the squeeze after a layer of one direction makes of it.
        for use in list(y.uses()):
            after = use.node
            axes = stored(input_at(after, 1)) if after.op_type == "Squeeze" else None
            if axes is not None and axes.tolist() == [1] and not after.outputs[0].is_graph_output():
                ir.convenience.replace_all_uses_with(after.outputs[0], sequences[0])
                writer.drop(after)
    if not y.uses() and not y.is_graph_output():
        return
    directed = [writer.one("Unsqueeze", one, writer.whole([1])) for one in sequences]
    whole = directed[0] if len(directed) == 1 else writer.one_of("Concat", directed, axis=1)
    writer.replace(y, whole)
