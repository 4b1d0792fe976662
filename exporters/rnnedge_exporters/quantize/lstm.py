"""Pass: LSTM as onnxruntime's ``DynamicQuantizeLSTM``: any number of frames per run, one node.

Rules:
    1. Weights are stored as ``[directions, inputs, 4 * hidden]``, transposed against ONNX's LSTM;
       the order of the gates (input, output, forget, cell) and the bias stay as they are.
    2. The inputs of LSTM keep their places; steps and zero points come after them.
    3. Weights have 7 bits, with a step per channel (see `rounding`).
    4. The kernel takes no other element types of weights than 8 bits, and no layout 1; else what
       LSTM can do, it can do.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.nodes import input_at
from rnnedge_exporters.quantize.arrays import stored
from rnnedge_exporters.quantize.rounding import channel_scale, to_levels
from rnnedge_exporters.quantize.writer import MICROSOFT, Writer

_INPUTS = 8
_ATTRIBUTES = (
    "activation_alpha",
    "activation_beta",
    "activations",
    "clip",
    "direction",
    "hidden_size",
    "input_forget",
)


def unfit(node: ir.Node) -> str:
    """Rule 4: why a layer computes in float; empty if it need not."""
    if node.attributes.get_int("layout", 0):
        return "its batch axis comes first (layout 1)"
    return ""


def to_operator(graph: ir.Graph, node: ir.Node) -> None:
    """Replaces an LSTM that is not `unfit`."""
    writer = Writer(graph, node, str(node.name))
    inputs: list[ir.Value | None] = [input_at(node, place) for place in range(_INPUTS)]
    steps: list[ir.Value] = []
    for place, role in ((1, "W"), (2, "R")):
        weights = stored(node.inputs[place])
        assert weights is not None  # noqa: S101 - as `unfit` found it
        scale = channel_scale(np.abs(weights).max(axis=2))
        whole = to_levels(weights, scale[..., None]).transpose(0, 2, 1)
        inputs[place] = writer.constant(role, np.ascontiguousarray(whole))
        steps.append(writer.constant(f"{role}.scale", scale))
        steps.append(writer.constant(f"{role}.zero", np.zeros(scale.shape, np.int8)))
    attributes = [node.attributes[name] for name in _ATTRIBUTES if name in node.attributes]
    new = ir.Node(
        MICROSOFT,
        "DynamicQuantizeLSTM",
        [*inputs, *steps],
        attributes,
        num_outputs=len(node.outputs),
        name=node.name,
    )
    graph.opset_imports[MICROSOFT] = 1
    inside = node.graph
    assert inside is not None  # noqa: S101 - a layer is in a graph, the main one or another
    inside.insert_before(node, new)
    for old, value in zip(node.outputs, new.outputs, strict=True):
        value.name, value.type, value.shape = old.name, old.type, old.shape
        old.name = f"{old.name}.before"
        ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
    writer.drop(node)
