"""How operators of ours become ONNX nodes: one ``RNN``, ``GRU`` or ``LSTM`` per layer, layout 0.

Layout 0 is [time, batch, features]; onnxruntime's CPU kernels reject layout 1. Operators of torch
are here where its exporter's own translation is not good enough.
"""

# The exporter reads the signatures: annotations stay as they are, unquoted.
from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18

from rnnedge_exporters.capture.operators import TRIMMED
from rnnedge_exporters.lowering.operators import ONNX_GRU, ONNX_LSTM, ONNX_RNN

# Its stubs know tensors only; constants are given as lists, which the tracer turns into tensors.
# Its operators are of opset 18 or older, which the exporter converts to any opset up from there.
op: Any = opset18


def _direction(r: Any) -> str:
    return "bidirectional" if r.shape[0] == 2 else "forward"


def _flat(y: Any, r: Any) -> Any:
    """[time, D, batch, hidden] -> [time, batch, D * hidden]."""
    if r.shape[0] == 1:
        return op.Squeeze(y, [1])
    return op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), [0, 0, -1])


def _rnn(
    x: Any, w: Any, r: Any, b: Any, lengths: Any, h0: Any, activation: str, hidden: int
) -> Any:
    activations = [activation] * int(r.shape[0])
    y, h = op.RNN(
        x,
        w,
        r,
        b,
        lengths,
        h0,
        hidden_size=hidden,
        activations=activations,
        direction=_direction(r),
    )
    return _flat(y, r), h


def _gru(
    x: Any,
    w: Any,
    r: Any,
    b: Any,
    lengths: Any,
    h0: Any,
    hidden: int,
    linear_before_reset: bool,
) -> Any:
    # linear_before_reset=1: the reset gate scales the recurrent product, bias included, as
    # PyTorch and cuDNN have it; 0 is the textbook's formula.
    y, h = op.GRU(
        x,
        w,
        r,
        b,
        lengths,
        h0,
        hidden_size=hidden,
        linear_before_reset=int(linear_before_reset),
        direction=_direction(r),
    )
    return _flat(y, r), h


def _lstm(x: Any, w: Any, r: Any, b: Any, lengths: Any, h0: Any, c0: Any, hidden: int) -> Any:
    y, h, c = op.LSTM(x, w, r, b, lengths, h0, c0, hidden_size=hidden, direction=_direction(r))
    return _flat(y, r), h, c


def _log_sigmoid(x: Any) -> Any:
    # The exporter's own translation, the logarithm of a sigmoid, is -inf below -88.
    return op.Neg(op.Softplus(op.Neg(x)))


def _trimmed(x: Any, lengths: Any, like: Any = None) -> Any:
    end = op.ReduceMax(op.Cast(lengths, to=7), keepdims=1)  # 7 is int64
    return op.Slice(x, [0], end, [0])


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    ONNX_RNN: _rnn,
    ONNX_GRU: _gru,
    ONNX_LSTM: _lstm,
    torch.ops.aten.log_sigmoid.default: _log_sigmoid,
    TRIMMED: _trimmed,
}
"""For torch's ONNX exporter."""
