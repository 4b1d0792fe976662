"""Pass: gated linear attention as onnxruntime's own operator.

Its recurrence, ``S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T`` read by ``S_t^T q_t``, is a ``Scan``
over matrices that are written out for every frame. ``com.microsoft.LinearAttention`` computes the
same from q, k, v and g, and faster; `benchmarks/linear_attention.py` measures how much.

Rules:
    1. The step is ``state * kept + written``; kept is ``exp(g)`` along the values, written the
       product of k and v, and what comes out is multiplied with q and added up over the keys.
    2. All are [batch, time, heads, size], and nothing else reads the states of all frames.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rnnedge_exporters.optimize.values import become, numbers_of, reshape

_DOMAIN = "com.microsoft"


def use_linear_attention(model: ir.Model) -> int:
    """Edits `model` in place; returns how many recurrences there were."""
    scans = [node for node in model.graph if node.op_type == "Scan"]
    count = sum(_replace(model.graph, scan) for scan in scans)
    if count:
        model.graph.opset_imports[_DOMAIN] = 1
        RemoveUnusedNodesPass()(model)
    return count


def _replace(graph: ir.Graph, scan: ir.Node) -> bool:
    """Rule 1, from the scan outwards."""
    if not _is_gated_sum(scan):
        return False
    state, kept, written = scan.inputs
    gate = _source(_swapped(kept), "Expand")
    gate = _source(_without_axis(gate, -1), "Exp")
    product = _producer(_swapped(written), "Mul")
    if gate is None or product is None:
        return False
    key, value = _without_axis(product.inputs[0], -1), _without_axis(product.inputs[1], -2)
    total = _read(scan.outputs[1])
    if key is None or value is None or total is None:
        return False
    reading = _producer(total.inputs[0], "Mul")
    assert reading is not None  # noqa: S101 - as `_read` found it
    query = _without_axis(reading.inputs[1], -1)
    shape = state.shape if state is not None else None
    if query is None or shape is None or not isinstance(shape[1], int):
        return False
    packed = [_reshaped(graph, scan, v, [0, 0, -1]) for v in (query, key, value)]
    heads = shape[1]
    attention = ir.node(
        "LinearAttention",
        [*packed, state, _reshaped(graph, scan, gate, [0, 0, -1])],
        {"q_num_heads": heads, "kv_num_heads": heads, "update_rule": "gated", "scale": 1.0},
        domain=_DOMAIN,
        num_outputs=2,
    )
    graph.insert_before(scan, attention)
    y = _reshaped(graph, scan, attention.outputs[0], [0, 0, heads, -1])
    become(total.outputs[0], y)
    become(scan.outputs[0], attention.outputs[1])
    return True


def _is_gated_sum(scan: ir.Node) -> bool:
    body = scan.attributes["body"].as_graph()
    nodes = [node for node in body if node.op_type != "Identity"]
    if len(scan.inputs) != 3 or [node.op_type for node in nodes] != ["Mul", "Add"]:
        return False
    state, kept, written = body.inputs
    product, total = nodes
    return set(product.inputs) == {state, kept} and set(total.inputs) == {
        product.outputs[0],
        written,
    }


def _producer(value: ir.Value | None, kind: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == kind else None


def _source(value: ir.Value | None, kind: str) -> ir.Value | None:
    node = _producer(value, kind)
    return None if node is None else node.inputs[0]


def _swapped(value: ir.Value | None) -> ir.Value | None:
    """What was [batch, time, ...] before."""
    node = _producer(value, "Transpose")
    is_swap = node is not None and list(node.attributes["perm"].as_ints()) == [1, 0, 2, 3, 4]
    return node.inputs[0] if node is not None and is_swap else None


def _without_axis(value: ir.Value | None, axis: int) -> ir.Value | None:
    """What got an axis at that place, of five."""
    node = _producer(value, "Unsqueeze")
    if node is None or numbers_of(node.inputs[1]) not in ([axis], [axis + 5]):
        return None
    return node.inputs[0]


def _read(states: ir.Value) -> ir.Node | None:
    """The sum over keys that the states of all frames go into, and nothing else."""
    node: ir.Node | None = None
    for kind in ("Transpose", "Mul", "ReduceSum"):
        uses = list(states.uses())
        if len(uses) != 1 or uses[0].node.op_type != kind or states.is_graph_output():
            return None
        node = uses[0].node
        states = node.outputs[0]
    if node is None or numbers_of(node.inputs[1]) not in ([-2], [3]):
        return None
    return node if node.attributes["keepdims"].as_int() == 0 else None


def _reshaped(
    graph: ir.Graph, before: ir.Node, value: ir.Value | None, shape: list[int]
) -> ir.Value:
    node = reshape(graph, value, shape)
    graph.insert_before(before, node)
    return node.outputs[0]
