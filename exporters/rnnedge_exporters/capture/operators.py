"""Recurrent layers as single operators, so that torch.export keeps them whole.

One operator is one layer (one or two directions) over a sequence; layers stack outside of it. That
is also the grain of ONNX's ``RNN``, ``GRU`` and ``LSTM``. Shapes, with D directions:

* ``x``: [time, batch, input], ``y``: [time, batch, D * hidden];
* ``h0``, ``c0`` and the final states: [D, batch, hidden];
* ``lengths``: int32 [batch], how many frames of each row count; None for all. Frames after them
  give zeros, and the final state is that after the last one that counts;
* ``weights``: per direction ``w_ih``, ``w_hh`` and, with bias, ``b_ih``, ``b_hh``, in PyTorch's
  shapes and gate order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


@custom_op("rnnedge::rnn", mutates_args=())
def rnn(
    x: Tensor,
    h0: Tensor,
    weights: list[Tensor],
    nonlinearity: str,
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One layer of `torch.nn.RNN`; `nonlinearity` is ``tanh`` or ``relu``."""
    function = torch.rnn_tanh if nonlinearity == "tanh" else torch.rnn_relu
    y, h = _run(function, x, h0, weights, bidirectional, lengths)
    return y, h


@custom_op("rnnedge::gru", mutates_args=())
def gru(
    x: Tensor,
    h0: Tensor,
    weights: list[Tensor],
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One layer of `torch.nn.GRU`: the reset gate is applied after the recurrent product."""
    y, h = _run(torch.gru, x, h0, weights, bidirectional, lengths)
    return y, h


@custom_op("rnnedge::lstm", mutates_args=())
def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weights: list[Tensor],
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer of `torch.nn.LSTM` without projection."""
    y, h, c = _run(torch.lstm, x, (h0, c0), weights, bidirectional, lengths)
    return y, h, c


def _run(
    function: Callable[..., Any],
    x: Tensor,
    state: Tensor | tuple[Tensor, Tensor],
    weights: list[Tensor],
    bidirectional: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, ...]:
    with_bias = len(weights) == 4 * (1 + bidirectional)
    options = (weights, with_bias, 1, 0.0, False, bidirectional)
    if lengths is None:
        results = function(x, state, *options, False)
    else:
        results = _run_packed(function, x, state, options, lengths)
    # An operator may not return what aliases its arguments or another result.
    return tuple(result.clone() for result in results)


def _run_packed(
    function: Callable[..., Any],
    x: Tensor,
    state: Tensor | tuple[Tensor, Tensor],
    options: tuple[Any, ...],
    lengths: Tensor,
) -> list[Tensor]:
    packed = pack_padded_sequence(x, lengths.to(torch.int64), enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    assert order is not None  # noqa: S101 - as it was packed
    assert back is not None  # noqa: S101
    states = state if isinstance(state, tuple) else (state,)
    ordered = tuple(s.index_select(1, order) for s in states)
    given = ordered if isinstance(state, tuple) else ordered[0]
    y, *finals = function(packed.data, packed.batch_sizes, given, *options)
    padded = PackedSequence(y, packed.batch_sizes, order, back)
    whole, _ = pad_packed_sequence(padded, total_length=x.shape[0])
    return [whole, *(final.index_select(1, back) for final in finals)]


def _empty(x: Tensor, h0: Tensor, states: int) -> tuple[Tensor, ...]:
    directions, batch, hidden = h0.shape
    y = x.new_empty(x.shape[0], batch, directions * hidden)
    return (y, *(torch.empty_like(h0) for _ in range(states)))


@rnn.register_fake
def _(
    x: Tensor, h0: Tensor, weights: Any, nonlinearity: str, bidirectional: bool, lengths: Any = None
) -> Any:
    return _empty(x, h0, 1)


@gru.register_fake
def _(x: Tensor, h0: Tensor, weights: Any, bidirectional: bool, lengths: Any = None) -> Any:
    return _empty(x, h0, 1)


@lstm.register_fake
def _(
    x: Tensor, h0: Tensor, c0: Tensor, weights: Any, bidirectional: bool, lengths: Any = None
) -> Any:
    return _empty(x, h0, 2)


RNN = torch.ops.rnnedge.rnn.default
GRU = torch.ops.rnnedge.gru.default
LSTM = torch.ops.rnnedge.lstm.default
RECURRENT = (RNN, GRU, LSTM)
