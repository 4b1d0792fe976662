"""Pass: a depthwise convolution over time and its context as onnxruntime's own operator.

Rules:
    1. A context of [batch, channels, kernel - 1] frames that is joined with new ones, read by one
       depthwise convolution and cut to the next context, is `com.microsoft.CausalConvWithState`.
    2. A SiLU behind it, also where its axes have been dropped, is the operator's activation.
    3. Dilation, strides and padding it does not have.
"""

from __future__ import annotations

from typing import NamedTuple

import onnx_ir as ir

from rnnedge_exporters.optimize.forms import known_shape
from rnnedge_exporters.optimize.values import numbers_of

_DOMAIN = "com.microsoft"


class _Found(NamedTuple):
    joined: ir.Node
    cut: ir.Node
    convolution: ir.Node


def use_causal_convolutions(model: ir.Model) -> int:
    """Edits `model` in place; returns how many there were."""
    found = [layer for node in model.graph if (layer := _layer(node)) is not None]
    for layer in found:
        _fuse(model.graph, layer)
    if found:
        model.graph.opset_imports[_DOMAIN] = 1
    return len(found)


def _layer(node: ir.Node) -> _Found | None:
    """Rules 1 and 3."""
    if node.op_type != "Conv" or node.inputs[0] is None or node.inputs[1] is None:
        return None
    joined, weights = node.inputs[0].producer(), known_shape(node.inputs[1])
    if joined is None or joined.op_type != "Concat" or weights is None or len(weights) != 3:
        return None
    channels, one, kernel = weights
    if one != 1 or node.attributes.get_int("group", 1) != channels or kernel == 1:
        return None
    if any(node.attributes.get_ints("pads", [0])) or len(joined.inputs) != 2:
        return None
    apart = [node.attributes.get_ints(key, [1])[0] for key in ("strides", "dilations")]
    context = None if joined.inputs[0] is None else known_shape(joined.inputs[0])
    if apart != [1, 1] or context is None or context[1:] != (channels, int(kernel) - 1):
        return None
    if joined.attributes["axis"].as_int() not in (2, -1):
        return None
    readers = [use.node for use in joined.outputs[0].uses() if use.node is not node]
    if len(readers) != 1 or joined.outputs[0].is_graph_output() or not _is_rest(readers[0], kernel):
        return None
    return _Found(joined, readers[0], node)


def _is_rest(cut: ir.Node, kernel: int | str) -> bool:
    given = [numbers_of(value) for value in cut.inputs[1:5]]
    is_end = cut.op_type == "Slice" and len(given) == 4 and bool(given[1]) and given[1][0] >= 2**31  # type: ignore[index]
    return is_end and given[0] == [1 - int(kernel)] and given[2] in ([2], [-1]) and given[3] == [1]


def _fuse(graph: ir.Graph, layer: _Found) -> None:
    joined, cut, convolution = layer
    context, frames = joined.inputs
    bias = convolution.inputs[2] if len(convolution.inputs) > 2 else None
    silu = _silu(convolution.outputs[0])
    new = ir.node(
        "CausalConvWithState",
        [frames, convolution.inputs[1], bias, context],
        {"activation": "silu"} if silu else {},
        domain=_DOMAIN,
        num_outputs=2,
    )
    new.metadata_props.update(convolution.metadata_props)
    graph.insert_after(joined, new)
    for old, given in zip((convolution.outputs[0], cut.outputs[0]), new.outputs, strict=True):
        given.type, given.shape, given.name = old.type, old.shape, old.name
        ir.convenience.replace_all_uses_with(old, given, replace_graph_outputs=True)
    new.outputs[1].metadata_props.update(cut.outputs[0].metadata_props)
    for node in (cut, convolution, joined):
        graph.remove(node, safe=True)
    for node in silu:
        if node.op_type == "Mul":
            before = next(v for v in node.inputs if v is not None and _kind(v) != "Sigmoid")
            ir.convenience.replace_all_uses_with(
                node.outputs[0], before, replace_graph_outputs=True
            )
    for node in reversed(silu):
        graph.remove(node, safe=True)


def _kind(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None else node.op_type


def _silu(value: ir.Value) -> list[ir.Node]:
    """Rule 2: its nodes, the product last; none where there is none."""
    readers = [use.node for use in value.uses()]
    if len(readers) == 1 and readers[0].op_type in ("Reshape", "Transpose"):
        return _silu(readers[0].outputs[0])
    kinds = sorted(node.op_type for node in readers)
    if kinds != ["Mul", "Sigmoid"] or value.is_graph_output():
        return []
    product, sigmoid = sorted(readers, key=lambda node: node.op_type)
    if product.outputs[0].is_graph_output() or {*product.inputs} != {value, sigmoid.outputs[0]}:
        return []
    if len(sigmoid.outputs[0].uses()) != 1:
        return []
    return [sigmoid, product]
