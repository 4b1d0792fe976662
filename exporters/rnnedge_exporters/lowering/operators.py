"""ONNX's recurrent operators as operators of torch, so that a program can hold them.

Shapes, with D directions and G gates: ``x``: [time, batch, input]; ``w``: [D, G * hidden, input];
``r``: [D, G * hidden, hidden]; ``b``: [D, 2 * G * hidden]; ``lengths``: int32 [batch]; states:
[D, batch, hidden], None for zeros; ``y``: [time, batch, D * hidden]. They exist to be traced and
translated, and compute nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op


@custom_op("rnnedge::onnx_rnn", mutates_args=())
def onnx_rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h0: Tensor | None,
    activation: str,
    hidden: int,
) -> tuple[Tensor, Tensor]:
    """``RNN`` with one activation for all directions."""
    raise _only_traced("RNN")


@custom_op("rnnedge::onnx_gru", mutates_args=())
def onnx_gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h0: Tensor | None,
    hidden: int,
    linear_before_reset: bool,
) -> tuple[Tensor, Tensor]:
    """``GRU``; with `linear_before_reset` it is PyTorch's formula, else the textbook's."""
    raise _only_traced("GRU")


@custom_op("rnnedge::onnx_lstm", mutates_args=())
def onnx_lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    hidden: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """``LSTM`` without peepholes."""
    raise _only_traced("LSTM")


def _only_traced(name: str) -> RuntimeError:
    return RuntimeError(f"{name} was run; it stands in a program that is about to be lowered")


def _empty(x: Tensor, r: Tensor, states: int) -> tuple[Tensor, ...]:
    y = x.new_empty(x.shape[0], x.shape[1], r.shape[0] * r.shape[2])
    return (y, *(x.new_empty(r.shape[0], x.shape[1], r.shape[2]) for _ in range(states)))


@onnx_rnn.register_fake
def _(x: Any, w: Any, r: Any, b: Any, lengths: Any, h0: Any, activation: str, hidden: int) -> Any:
    return _empty(x, r, 1)


@onnx_gru.register_fake
def _(x: Any, w: Any, r: Any, b: Any, lengths: Any, h0: Any, hidden: int, linear: bool) -> Any:
    return _empty(x, r, 1)


@onnx_lstm.register_fake
def _(x: Any, w: Any, r: Any, b: Any, lengths: Any, h0: Any, c0: Any, hidden: int) -> Any:
    return _empty(x, r, 2)


ONNX_RNN = torch.ops.rnnedge.onnx_rnn.default
ONNX_GRU = torch.ops.rnnedge.onnx_gru.default
ONNX_LSTM = torch.ops.rnnedge.onnx_lstm.default
