"""While a module is traced, recurrent functions of torch become operators of ours.

`torch.nn.RNN`, `GRU` and `LSTM` end in one function of torch each (``torch.gru`` and so on), which
`torch.export` would unroll over the example's length. A function mode catches that call, so no
module is changed, and a call that a user's code makes itself is caught as well. How a packed
sequence gets here, as a padded one beside its lengths, is told in `packed.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rnnedge_exporters.capture import operators
from rnnedge_exporters.capture.instead import INSTEAD
from rnnedge_exporters.capture.packed import current_lengths
from rnnedge_exporters.errors import CaptureError

_Layer = Callable[[Tensor, Sequence[Tensor], list[Tensor], bool, Tensor | None], tuple[Tensor, ...]]


def _rnn(nonlinearity: str) -> _Layer:
    return lambda x, state, *rest: operators.rnn(x, *state, rest[0], nonlinearity, *rest[1:])


_LAYERS: Mapping[Callable[..., Any], _Layer] = {
    torch.rnn_tanh: _rnn("tanh"),
    torch.rnn_relu: _rnn("relu"),
    torch.gru: lambda x, state, *rest: operators.gru(x, *state, *rest),
    torch.lstm: lambda x, state, *rest: operators.lstm(x, *state, *rest),
}


_CELLS: Mapping[Callable[..., Any], _Layer] = {
    torch.rnn_tanh_cell: _LAYERS[torch.rnn_tanh],
    torch.rnn_relu_cell: _LAYERS[torch.rnn_relu],
    torch.gru_cell: _LAYERS[torch.gru],
    torch.lstm_cell: _LAYERS[torch.lstm],
}


class KeepRecurrent(TorchFunctionMode):
    """Inside this mode, recurrent functions leave one operator per layer in the graph."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        cell = _CELLS.get(func)
        if cell is not None:
            return _one_step(cell, *args)
        layer = _LAYERS.get(func)
        if layer is not None:
            return _stack(layer, func.__name__, args)
        instead = INSTEAD.get(func, func)
        return instead(*args, **(kwargs or {}))


def _one_step(
    layer: _Layer,
    x: Tensor,
    state: Tensor | Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """A cell is its layer over a sequence of one frame; x is [batch, input]."""
    states = [state] if isinstance(state, Tensor) else list(state)
    weights = [w for w in (w_ih, w_hh, b_ih, b_hh) if w is not None]
    _, *after = layer(x.unsqueeze(0), [s.unsqueeze(0) for s in states], weights, False, None)
    results = tuple(s.squeeze(0) for s in after)
    return results[0] if isinstance(state, Tensor) else results


def _stack(layer: _Layer, name: str, args: Sequence[Any]) -> tuple[Tensor, ...]:
    """Runs one operator per layer, as torch's function of all layers would.

    Args:
        layer: the operator of one layer.
        name: the function's name, for messages.
        args: of the function: ``(x, state, params, has_biases, num_layers, dropout, train,
            bidirectional, batch_first)``; the variant for packed sequences has other ones.

    Raises:
        CaptureError: it is called with the data of a packed sequence.
    """
    if not isinstance(args[2], (list, tuple)) or isinstance(args[3], (list, tuple)):
        raise CaptureError(
            "a packed sequence goes into something else than torch.nn.RNN, GRU or LSTM themselves",
            where=f"torch.{name}, called with the data of a PackedSequence",
            fix="call a module of one of these classes with what pack_padded_sequence returns, as "
            "its first argument; a subclass with its own forward is not known to be one",
        )
    x, initial, params, _, layers, _, _, both, batch_first = args
    states = list(initial) if isinstance(initial, (list, tuple)) else [initial]
    per_layer = len(params) // layers
    lengths = current_lengths()
    y = x.transpose(0, 1) if batch_first else x
    starts = [state.split(1 + both) if layers > 1 else (state,) for state in states]
    finals = []
    for index in range(layers):
        weights = list(params[index * per_layer : (index + 1) * per_layer])
        y, *final = layer(y, [start[index] for start in starts], weights, both, lengths)
        finals.append(final)
    joined = [torch.cat(parts) if layers > 1 else parts[0] for parts in zip(*finals, strict=True)]
    return (y.transpose(0, 1) if batch_first else y, *joined)
