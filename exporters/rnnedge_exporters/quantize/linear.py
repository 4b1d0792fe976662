"""Pass: products of a linear layer, and those inside of a ``Scan``, with stored weights.

Rules:
    1. ``MatMul`` with stored weights ``[inputs, channels]`` on its right; a stored bias that is
       added to it next, and to nothing else, goes into the product.
    2. ``Gemm`` with stored weights, as it is, or with them transposed, and a stored bias or none.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.nodes import input_at
from rnnedge_exporters.quantize.arrays import Ranges, stored
from rnnedge_exporters.quantize.products import Style, product
from rnnedge_exporters.quantize.writer import Writer


def unfit(node: ir.Node) -> str:
    """Why a product computes in float; empty if it need not."""
    weights = stored(node.inputs[1])
    assert weights is not None  # noqa: S101 - it is a layer
    if weights.ndim != 2:
        return f"its weights have {weights.ndim} axes"
    if node.op_type == "MatMul":
        return ""
    has_factors = (
        node.attributes.get_float("alpha", 1.0) != 1 or node.attributes.get_float("beta", 1.0) != 1
    )
    bias = input_at(node, 2)
    if node.attributes.get_int("transA", 0) or has_factors:
        return "it transposes its input, or has factors"
    known = stored(bias)
    if bias is not None and (known is None or known.size != _rows(node).shape[0]):
        return "its bias is not one stored number per channel"
    return ""


def to_product(graph: ir.Graph, node: ir.Node, style: Style, ranges: Ranges | None = None) -> None:
    """Replaces a product that is not `unfit`."""
    x = node.inputs[0]
    assert x is not None  # noqa: S101 - the operator's schema says so
    rows = _rows(node)
    writer = Writer(graph, node, str(node.name))
    last, bias = node, stored(input_at(node, 2))
    if node.op_type == "MatMul":
        last, bias = _with_bias(node, rows.shape[0])
    y = product(writer, style, "weight", x, rows, bias, (ranges or {}).get(str(x.name)))
    if last is not node:
        writer.replace(last.outputs[0], y)
        writer.drop(last)
    else:
        writer.replace(node.outputs[0], y)
    writer.drop(node)


def _rows(node: ir.Node) -> np.ndarray:
    """The weights as ``[channels, inputs]``."""
    weights = stored(node.inputs[1])
    assert weights is not None  # noqa: S101 - as `unfit` found it
    is_rows = node.op_type == "Gemm" and bool(node.attributes.get_int("transB", 0))
    return np.ascontiguousarray(weights if is_rows else weights.T)


def _with_bias(node: ir.Node, channels: int) -> tuple[ir.Node, np.ndarray | None]:
    """Rule 1: the last node that the product takes the place of, and the bias."""
    y = node.outputs[0]
    uses = list(y.uses())
    if len(uses) != 1 or uses[0].node.op_type != "Add" or y.is_graph_output():
        return node, None
    after = uses[0].node
    bias = stored(after.inputs[1 - uses[0].idx])
    if bias is None or bias.size != channels or bias.shape[-1:] != (channels,) or bias.ndim > 1:
        return node, None
    return after, bias.reshape(-1)
