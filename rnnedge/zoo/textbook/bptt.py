"""Back-propagation through time for the Elman network, by hand.

Werbos, "Backpropagation Through Time: What It Does and How to Do It", Proceedings of the IEEE 78,
1990; the formulas are those of Goodfellow, Bengio and Courville, "Deep Learning", 2016, section
10.2.2, for a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rnnedge.zoo.textbook.elman import ElmanNetwork


class Gradients(NamedTuple):
    """Of the loss with respect to each parameter of an `ElmanNetwork`, and to each hidden state.

    Attributes:
        w: [hidden, inputs].
        u: [hidden, hidden].
        b: [hidden].
        v: [outputs, hidden].
        c: [outputs].
        h: to h_0 (before the first frame), h_1, ..., [batch, time + 1, hidden].
    """

    w: Tensor
    u: Tensor
    b: Tensor
    v: Tensor
    c: Tensor
    h: Tensor


def loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy -log p_t[target_t], summed over frames and rows.

    Args:
        probabilities: [batch, time, outputs].
        targets: int64 [batch, time].
    """
    return -probabilities.gather(-1, targets.unsqueeze(-1)).log().sum()


def backward(
    network: ElmanNetwork, x: Tensor, targets: Tensor, h: Tensor | None = None
) -> Gradients:
    r"""The gradients of `loss`, without autograd.

    With o_t = V h_t + c, p_t = softmax(o_t), e_t the one-hot target and L the loss:

    * dL/do_t = p_t - e_t
    * dL/dh_t = V^T dL/do_t + U^T (1 - h_{t+1}^2) ⊙ dL/dh_{t+1}; after the last frame only the first
      term, and for h_0 only the second
    * with d_t = (1 - h_t^2) ⊙ dL/dh_t the gradient before the tanh:
      dL/dc = sum_t dL/do_t, dL/dV = sum_t dL/do_t h_t^T, dL/db = sum_t d_t,
      dL/dU = sum_t d_t h_{t-1}^T, dL/dW = sum_t d_t x_t^T

    Args:
        network: its weights.
        x: [batch, time, inputs].
        targets: int64 [batch, time].
        h: before the first frame, [batch, hidden]; None for zeros.
    """
    layer = network.recurrent
    with torch.no_grad():
        before = x.new_zeros(x.shape[0], layer.b.shape[0]) if h is None else h
        hidden, _ = layer(x, before)
        states = torch.cat([before.unsqueeze(1), hidden], 1)
        outputs = torch.softmax(hidden @ network.v.T + network.c, -1)
        outputs.scatter_add_(-1, targets.unsqueeze(-1), -torch.ones_like(outputs[..., :1]))
        of_states, of_sums = [], []
        from_later = torch.zeros_like(before)
        for t in reversed(range(x.shape[1])):
            of_h = outputs[:, t] @ network.v + from_later
            of_sum = (1 - hidden[:, t] ** 2) * of_h
            from_later = of_sum @ layer.u
            of_states.append(of_h)
            of_sums.append(of_sum)
        of_states.append(from_later)
        sums = torch.stack(of_sums[::-1], 1)
        return Gradients(
            w=torch.einsum("bth,bti->hi", sums, x),
            u=torch.einsum("bth,btk->hk", sums, states[:, :-1]),
            b=sums.sum((0, 1)),
            v=torch.einsum("bto,bth->oh", outputs, hidden),
            c=outputs.sum((0, 1)),
            h=torch.stack(of_states[::-1], 1),
        )
