"""Recurrent layers as single operators, so that torch.export keeps them whole.

One operator is one layer (one or two directions) over a sequence; layers stack outside of it. That
is also the grain of ONNX's ``RNN``, ``GRU`` and ``LSTM``. Shapes, with D directions:

* ``x``: [time, batch, input], ``y``: [time, batch, D * hidden];
* ``h0``, ``c0`` and the final states: [D, batch, hidden]; where an LSTM projects its hidden state,
  ``h0`` is [D, batch, projected], and so are ``y`` and ``w_hh``;
* ``lengths``: int32 [batch], how many frames of each row count; None for all. Frames after them
  give zeros, and the final state is that after the last one that counts;
* ``weights``: per direction ``w_ih``, ``w_hh``, with bias ``b_ih`` and ``b_hh``, with a projection
  ``w_hr``, in PyTorch's shapes and gate order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import Node
from torch.library import custom_op
from torch.nn.functional import linear
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


@custom_op("rnnedge::gru_reset_before", mutates_args=())
def gru_reset_before(
    x: Tensor,
    h0: Tensor,
    weights: list[Tensor],
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One layer of a GRU as Cho et al. (arXiv:1406.1078) have it: the reset gate comes first.

    The candidate is ``tanh(W_in x + b_in + W_hn (r * h) + b_hn)``; `torch.nn.GRU` has
    ``r * (W_hn h + b_hn)`` there. Gate order and ``h' = (1 - z) * n + z * h`` are PyTorch's.
    """
    per_direction = len(weights) // (1 + bidirectional)
    ys, finals = [], []
    for direction in range(1 + bidirectional):
        own = weights[direction * per_direction : (direction + 1) * per_direction]
        steps = list(range(x.shape[0]))
        y, h = _loop_reset_before(x, h0[direction], own, steps[:: -1 if direction else 1], lengths)
        ys.append(y)
        finals.append(h)
    return torch.cat(ys, -1), torch.stack(finals)


def _loop_reset_before(
    x: Tensor, h: Tensor, weights: list[Tensor], steps: list[int], lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One direction; h is [batch, hidden]."""
    w_ih, w_hh, *biases = weights
    b_ih, b_hh = biases or (None, None)
    size = h.shape[-1]
    y = x.new_zeros(*x.shape[:2], size)
    for t in steps:
        of_x = linear(x[t], w_ih, b_ih)
        gates = linear(h, w_hh[: 2 * size], None if b_hh is None else b_hh[: 2 * size])
        r, z = (of_x[:, : 2 * size] + gates).sigmoid().chunk(2, -1)
        of_h = linear(r * h, w_hh[2 * size :], None if b_hh is None else b_hh[2 * size :])
        after = (1 - z) * (of_x[:, 2 * size :] + of_h).tanh() + z * h
        if lengths is None:
            y[t] = h = after
        else:
            counts = (t < lengths).unsqueeze(-1)
            h, y[t] = torch.where(counts, after, h), torch.where(counts, after, 0.0)
    return y, h.clone()


@custom_op("rnnedge::lstm", mutates_args=())
def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weights: list[Tensor],
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer of `torch.nn.LSTM`, with or without projection."""
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
    with_bias = len(weights) >= 4 * (1 + bidirectional)
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


@custom_op("rnnedge::trimmed", mutates_args=())
def trimmed(x: Tensor, lengths: Tensor, like: Tensor | None = None) -> Tensor:
    """The frames of x, [time, batch, features], up to the end of the longest row.

    `like` is another result for the same lengths: as long, which the tracer could not know.
    """
    return x[: int(lengths.max())].clone()


@trimmed.register_fake
def _(x: Tensor, lengths: Tensor, like: Tensor | None = None) -> Tensor:
    frames = torch.library.get_ctx().new_dynamic_size() if like is None else like.shape[0]
    return x.new_empty(frames, *x.shape[1:])


def _empty(x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
    directions, batch, hidden = states[0].shape
    y = x.new_empty(x.shape[0], batch, directions * hidden)
    return (y, *map(torch.empty_like, states))


@rnn.register_fake
def _(
    x: Tensor, h0: Tensor, weights: Any, nonlinearity: str, bidirectional: bool, lengths: Any = None
) -> Any:
    return _empty(x, h0)


@gru.register_fake
def _(x: Tensor, h0: Tensor, weights: Any, bidirectional: bool, lengths: Any = None) -> Any:
    return _empty(x, h0)


@gru_reset_before.register_fake
def _(x: Tensor, h0: Tensor, weights: Any, bidirectional: bool, lengths: Any = None) -> Any:
    return _empty(x, h0)


@lstm.register_fake
def _(
    x: Tensor, h0: Tensor, c0: Tensor, weights: Any, bidirectional: bool, lengths: Any = None
) -> Any:
    return _empty(x, h0, c0)


RNN = torch.ops.rnnedge.rnn.default
GRU = torch.ops.rnnedge.gru.default
GRU_RESET_BEFORE = torch.ops.rnnedge.gru_reset_before.default
LSTM = torch.ops.rnnedge.lstm.default
TRIMMED = torch.ops.rnnedge.trimmed.default
RECURRENT = (RNN, GRU, GRU_RESET_BEFORE, LSTM)


@dataclass(frozen=True)
class Layer:
    """What a node of the graph, one recurrent operator, is given.

    Attributes:
        x: the sequence.
        states: the initial states: h0, and c0 for an LSTM.
        weights: see above.
        nonlinearity: ``tanh`` or ``relu``; of an RNN only.
        bidirectional: whether it has two directions.
        lengths: how many frames of each row count; None for all.
    """

    x: Node
    states: tuple[Node, ...]
    weights: tuple[Node, ...]
    nonlinearity: str
    bidirectional: bool
    lengths: Node | None

    @property
    def projects(self) -> bool:
        """Whether the hidden state is projected: there is one weight more than usual."""
        return len(self.weights) // (1 + self.bidirectional) % 2 == 1


def read_layer(node: Node) -> Layer:
    """The arguments of a recurrent operator by name."""
    assert node.target in RECURRENT  # noqa: S101 - the caller asks for such nodes only
    names = [argument.name for argument in node.target._schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    states = tuple(given[name] for name in ("h0", "c0") if name in given)
    return Layer(
        x=cast("Node", given["x"]),
        states=cast("tuple[Node, ...]", states),
        weights=tuple(cast("Sequence[Node]", given["weights"])),
        nonlinearity=str(given.get("nonlinearity", "tanh")),
        bidirectional=bool(given["bidirectional"]),
        lengths=cast("Node | None", given.get("lengths")),
    )
