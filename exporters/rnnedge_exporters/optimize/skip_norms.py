"""Pass: a skip and the layer normalisation behind it as onnxruntime's own operator.

Rules:
    1. What is normalised along its last axis is the sum of two tensors of one shape, rows or
       sequences: `com.microsoft.SkipLayerNormalization` adds and normalises.
    2. Where others read the sum, the operator gives that, too.
"""

from __future__ import annotations

import onnx_ir as ir

from rnnedge_exporters.optimize.forms import known_shape

_DOMAIN = "com.microsoft"


def use_skip_norms(model: ir.Model) -> int:
    """Edits `model` in place; returns how many there were."""
    norms = [node for node in model.graph if node.op_type == "LayerNormalization"]
    count = sum(_fuse(model.graph, norm) for norm in norms)
    if count:
        model.graph.opset_imports[_DOMAIN] = 1
    return count


def _fuse(graph: ir.Graph, norm: ir.Node) -> bool:
    total = norm.inputs[0]
    add = None if total is None else total.producer()
    if add is None or total is None or add.op_type != "Add" or not _fits(norm, add):
        return False
    others = [use for use in total.uses() if use.node is not norm]
    is_read = bool(others) or total.is_graph_output()
    new = ir.node(
        "SkipLayerNormalization",
        [*add.inputs, *norm.inputs[1:]],
        {"epsilon": norm.attributes.get_float("epsilon", 1e-5)},
        domain=_DOMAIN,
        num_outputs=4 if is_read else 1,
    )
    new.metadata_props.update(norm.metadata_props)
    for old, place in ((norm.outputs[0], 0), *([(total, 3)] if is_read else [])):
        given = new.outputs[place]
        given.type, given.shape, given.name = old.type, old.shape, old.name
        given.metadata_props.update(old.metadata_props)
    for unused in new.outputs[1:3]:
        unused.name = ""
    ir.convenience.replace_all_uses_with(
        norm.outputs[0], new.outputs[0], replace_graph_outputs=True
    )
    graph.insert_before(norm, new)
    graph.remove(norm, safe=True)
    if is_read:
        _move_first(graph, add, new)
        ir.convenience.replace_all_uses_with(total, new.outputs[3], replace_graph_outputs=True)
    graph.remove(add, safe=True)
    return True


def _move_first(graph: ir.Graph, add: ir.Node, new: ir.Node) -> None:
    """To where the sum was: what reads it comes after."""
    graph.remove(new)
    graph.insert_after(add, new)


def _fits(norm: ir.Node, add: ir.Node) -> bool:
    """Rule 1."""
    shapes = [None if value is None else known_shape(value) for value in add.inputs]
    if shapes[0] is None or shapes[0] != shapes[1] or len(shapes[0]) not in (2, 3):
        return False
    is_last = norm.attributes.get_int("axis", -1) in (-1, len(shapes[0]) - 1)
    rows = [None if value is None else known_shape(value) for value in norm.inputs[1:]]
    return is_last and len(norm.outputs) == 1 and rows == [shapes[0][-1:]] * 2
