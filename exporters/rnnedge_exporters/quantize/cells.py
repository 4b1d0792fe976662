"""One frame of RNN, GRU and LSTM in plain operators, from the products of input and state.

The gates stand in ONNX's order, as the lowering has put them: LSTM input, output, forget, cell
(PyTorch: input, forget, cell, output); GRU update, reset, new (PyTorch: reset, update, new). Biases
are ``[2 * gates * hidden]``: first those of the input, then those of the state.

A GRU has two formulas for the new content. PyTorch's (``linear_before_reset`` is 1) multiplies the
reset gate with the *product* of the state, whose bias it so scales, too; the textbook's (0) with
the state *before* the product. Swapped, both give something plausible, and wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.quantize.products import Pair
from rnnedge_exporters.quantize.writer import Writer


@dataclass(frozen=True)
class Cell:
    """One direction of a recurrent layer.

    Attributes:
        kind: ``RNN``, ``GRU`` or ``LSTM``.
        pair: its products.
        bias_w: ``[gates * hidden]``, of the input.
        bias_r: ``[gates * hidden]``, of the state.
        hidden: size of the state.
        activation: of RNN: ``Tanh`` or ``Relu``.
        linear_before_reset: which formula a GRU has.
    """

    kind: str
    pair: Pair
    bias_w: np.ndarray
    bias_r: np.ndarray
    hidden: int
    activation: str = "Tanh"
    linear_before_reset: bool = True

    def of_input(self, writer: Writer, x: ir.Value) -> ir.Value:
        """The product of the input, and all of the bias that is only added."""
        bias = self.bias_w + self.bias_r
        if self.kind == "GRU" and self.linear_before_reset:
            new = slice(2 * self.hidden, None)
            bias[new] = self.bias_w[new]  # the state's own is multiplied by the reset gate
        return self.pair.input(writer, x, bias)

    def step(self, writer: Writer, of_input: ir.Value, states: list[ir.Value]) -> list[ir.Value]:
        """The states after a frame, from those before it and `of_input` of the frame."""
        if self.kind == "RNN":
            return [self._rnn(writer, of_input, states[0])]
        if self.kind == "GRU":
            return [self._gru(writer, of_input, states[0])]
        return self._lstm(writer, of_input, *states)

    def _rnn(self, writer: Writer, of_input: ir.Value, h: ir.Value) -> ir.Value:
        total = writer.one("Add", of_input, self.pair.hidden(writer, h, None))
        total = self.pair.scaled(writer, total, slice(None), "scale")
        return writer.one(self.activation, total)

    def _gru(self, writer: Writer, of_input: ir.Value, h: ir.Value) -> ir.Value:
        gates, new = slice(2 * self.hidden), slice(2 * self.hidden, None)
        x_gates, x_new = writer.split(of_input, [2 * self.hidden, self.hidden])
        if self.linear_before_reset:
            bias = np.zeros_like(self.bias_r)
            bias[new] = self.bias_r[new]
            of_state = self.pair.hidden(writer, h, bias)
            h_gates, h_new = writer.split(of_state, [2 * self.hidden, self.hidden])
            z, r = self._gates(writer, x_gates, h_gates, gates)
            inner = writer.one("Mul", r, h_new)
        else:
            h_gates = self.pair.hidden(writer, h, None, gates, "R_gates")
            z, r = self._gates(writer, x_gates, h_gates, gates)
            inner = self.pair.hidden(writer, writer.one("Mul", r, h), None, new, "R_new")
        total = self.pair.scaled(writer, writer.one("Add", x_new, inner), new, "scale_new")
        n = writer.one("Tanh", total)
        # (1 - z) n + z h
        kept = writer.one("Mul", z, writer.one("Sub", h, n))
        return writer.one("Add", n, kept)

    def _gates(
        self, writer: Writer, x_gates: ir.Value, h_gates: ir.Value, rows: slice
    ) -> tuple[ir.Value, ir.Value]:
        total = self.pair.scaled(writer, writer.one("Add", x_gates, h_gates), rows, "scale_gates")
        both = writer.one("Sigmoid", total)
        z, r = writer.split(both, [self.hidden, self.hidden])
        return z, r

    def _lstm(self, writer: Writer, of_input: ir.Value, h: ir.Value, c: ir.Value) -> list[ir.Value]:
        size = self.hidden
        total = writer.one("Add", of_input, self.pair.hidden(writer, h, None))
        total = self.pair.scaled(writer, total, slice(None), "scale")
        gates, cell = writer.split(total, [3 * size, size])
        i, o, f = writer.split(writer.one("Sigmoid", gates), [size, size, size])
        kept = writer.one("Mul", f, c)
        added = writer.one("Mul", i, writer.one("Tanh", cell))
        c_next = writer.one("Add", kept, added)
        return [writer.one("Mul", o, writer.one("Tanh", c_next)), c_next]
