"""Pass: tables that rows are looked up in, as int8 with a step per row.

Rules:
    1. ``Gather`` of rows of a stored table ``[rows, features]``: the rows looked up are made float
       again, the table never is.
    2. A row has all of 8 bits, -127 to 127: nothing is multiplied in integers, nothing saturates.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.quantize.arrays import stored
from rnnedge_exporters.quantize.writer import Writer

_LEVELS = 127


def unfit(node: ir.Node) -> str:
    """Why a table computes in float; empty if it need not."""
    table = stored(node.inputs[0])
    if table is None or table.dtype != np.float32 or table.ndim != 2:
        return "it is no stored table of floats"
    if node.attributes.get_int("axis", 0):
        return "it looks up columns"
    return ""


def to_rows(graph: ir.Graph, node: ir.Node) -> None:
    """Replaces a lookup that is not `unfit`."""
    table, indices = stored(node.inputs[0]), node.inputs[1]
    assert table is not None  # noqa: S101 - as `unfit` found it
    assert indices is not None  # noqa: S101 - the operator's schema says so
    writer = Writer(graph, node, str(node.name))
    scale = np.abs(table).max(axis=1, keepdims=True) / _LEVELS
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    whole = np.rint(table / scale).astype(np.int8)
    rows = writer.one("Gather", writer.constant("rows", whole), indices, axis=0)
    steps = writer.one("Gather", writer.constant("steps", scale), indices, axis=0)
    floats = writer.one("Cast", rows, to=ir.DataType.FLOAT)
    writer.replace(node.outputs[0], writer.one("Mul", floats, steps))
    writer.drop(node)
