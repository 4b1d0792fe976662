"""The simple recurrent network (Elman, "Finding Structure in Time", Cognitive Science 14, 1990)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnedge.zoo.textbook.loop import bias, is_exporting, over_time, weight, zeros
from rnnedge_exporters.capture import operators


class Elman(nn.Module):
    r"""The recurrent layer: h_t = tanh(W x_t + U h_{t-1} + b).

    In the unrolled network every frame is a layer of its own, and all share W, U and b (Goodfellow,
    Bengio, Courville, "Deep Learning", 2016, equations 10.8 and 10.9).

    Attributes:
        w: W, [hidden, inputs].
        u: U, [hidden, hidden].
        b: [hidden].
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.w = weight(hidden, inputs)
        self.u = weight(hidden, hidden)
        self.b = bias(hidden)

    def step(self, x_t: Tensor, state: Sequence[Tensor]) -> Sequence[Tensor]:
        """One frame: x_t [batch, inputs], h [batch, hidden]."""
        (h,) = state
        return (torch.tanh(x_t @ self.w.T + h @ self.u.T + self.b),)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Runs over time.

        Args:
            x: [batch, time, inputs].
            h: before the first frame, [batch, hidden]; None for zeros.

        Returns:
            h_t for all frames, [batch, time, hidden], and the last one.
        """
        h = zeros(x, self.b.shape[0]) if h is None else h
        if is_exporting():
            weights = [self.w, self.u, self.b, torch.zeros_like(self.b)]
            y, last = operators.rnn(x.transpose(0, 1), h.unsqueeze(0), weights, "tanh", False)
            return y.transpose(0, 1), last.squeeze(0)
        y, (h,) = over_time(self.step, x, (h,))
        return y, h


class ElmanNetwork(nn.Module):
    r"""`Elman` with a softmax over its output: p_t = softmax(V h_t + c) (equations 10.10, 10.11).

    Attributes:
        recurrent: the layer.
        v: V, [outputs, hidden].
        c: [outputs].
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.recurrent = Elman(inputs, hidden)
        self.v = weight(outputs, hidden)
        self.c = bias(outputs)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Runs over time.

        Args:
            x: [batch, time, inputs].
            h: before the first frame, [batch, hidden]; None for zeros.

        Returns:
            Probabilities [batch, time, outputs], and the last hidden state.
        """
        hidden, h = self.recurrent(x, h)
        return torch.softmax(hidden @ self.v.T + self.c, -1), h
