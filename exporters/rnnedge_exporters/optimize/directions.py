"""Pass: the output of a bidirectional layer is transposed once, not twice.

ONNX's recurrent operators give ``[time, directions, batch, hidden]``. PyTorch has directions and
hidden as one axis, which takes a transposition and a reshape, and with ``batch_first`` another
transposition after these.

Rules:
    1. Transpose, then Reshape to ``[0, 0, -1]``, then Transpose of the first two axes: the two
       transpositions become one, before the reshape.
    2. Only where nothing else reads what lies between them.
"""

from __future__ import annotations

import onnx_ir as ir

_JOINED = [0, 0, -1]


def join_directions(model: ir.Model) -> None:
    """Edits `model` in place."""
    for last in list(model.graph):
        reshape = _producer(last, "Transpose")
        first = _producer(reshape, "Reshape") if reshape is not None else None
        if reshape is None or first is None or first.op_type != "Transpose":
            continue
        order, swap = _perm(first), _perm(last)
        if len(order) != 4 or swap != [1, 0, 2] or not _joins(reshape):
            continue
        first.attributes["perm"] = ir.AttrInt64s("perm", [order[1], order[0], *order[2:]])
        ir.convenience.replace_all_uses_with(last.outputs[0], reshape.outputs[0])
        model.graph.remove(last, safe=True)


def _producer(node: ir.Node, kind: str) -> ir.Node | None:
    """What gives the first input of `node`, a node of that kind, to it alone."""
    value = node.inputs[0] if node.op_type == kind and node.inputs else None
    if value is None or value.is_graph_output() or len(value.uses()) != 1:
        return None
    return value.producer()


def _perm(node: ir.Node) -> list[int]:
    perm = node.attributes.get("perm")
    return list(perm.as_ints()) if perm is not None else []


def _joins(reshape: ir.Node) -> bool:
    shape = reshape.inputs[1]
    constant = shape.const_value if shape is not None else None
    return constant is not None and constant.numpy().tolist() == _JOINED
