"""What passes on ONNX graphs know of nodes, before quantisation and in it."""

from __future__ import annotations

import onnx_ir as ir

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
"""By recurrent operator: weights and biases are ``gates * units`` high."""


def input_at(node: ir.Node, place: int) -> ir.Value | None:
    """An input, None where it is left out."""
    return node.inputs[place] if place < len(node.inputs) else None
