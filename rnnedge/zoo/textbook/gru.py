"""The gated recurrent unit, its reset gate before the product.

Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (arXiv:1406.1078). The sign
of the update gate is that of Chung et al. (arXiv:1412.3555) and Olah (2015): an open gate lets the
candidate in. In `torch.nn.GRU`, in ONNX and in Cho et al. an open gate keeps the old state.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnedge.zoo.textbook.loop import bias, is_exporting, over_time, weight, zeros
from rnnedge_exporters.capture import operators


class GRU(nn.Module):
    r"""One layer, by these formulas.

    With [h_{t-1}, x_t] the hidden state and then the input, side by side:

    * z_t = sigmoid(W_z [h_{t-1}, x_t] + b_z), the update gate
    * r_t = sigmoid(W_r [h_{t-1}, x_t] + b_r), the reset gate
    * n_t = tanh(W_n [r_t ⊙ h_{t-1}, x_t] + b_n), the candidate
    * h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ n_t

    Attributes:
        w_z: [hidden, hidden + inputs], as are `w_r` and `w_n`.
        b_z: [hidden], as are `b_r` and `b_n`.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.w_z, self.w_r, self.w_n = (weight(hidden, hidden + inputs) for _ in range(3))
        self.b_z, self.b_r, self.b_n = (bias(hidden) for _ in range(3))

    def step(self, x_t: Tensor, state: Sequence[Tensor]) -> Sequence[Tensor]:
        """One frame: x_t [batch, inputs], h [batch, hidden]."""
        (h,) = state
        both = torch.cat([h, x_t], -1)
        z = torch.sigmoid(both @ self.w_z.T + self.b_z)
        r = torch.sigmoid(both @ self.w_r.T + self.b_r)
        n = torch.tanh(torch.cat([r * h, x_t], -1) @ self.w_n.T + self.b_n)
        return ((1 - z) * h + z * n,)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Runs over time.

        Args:
            x: [batch, time, inputs].
            h: before the first frame, [batch, hidden]; None for zeros.

        Returns:
            h_t for all frames, [batch, time, hidden], and the last one.
        """
        h = zeros(x, self.hidden) if h is None else h
        if is_exporting():
            y, last = operators.gru_reset_before(
                x.transpose(0, 1), h.unsqueeze(0), self._weights(), False
            )
            return y.transpose(0, 1), last.squeeze(0)
        y, (h,) = over_time(self.step, x, (h,))
        return y, h

    def _weights(self) -> list[Tensor]:
        """As `torch.nn.GRU` has them: gates in the order reset, update, candidate.

        There an open update gate keeps the old state. As 1 - sigmoid(a) = sigmoid(-a), the update
        gate's weights and bias change their sign.
        """
        stacked = torch.cat([self.w_r, -self.w_z, self.w_n])
        biases = torch.cat([self.b_r, -self.b_z, self.b_n])
        # The first columns belong to h.
        of_h, of_x = stacked[:, : self.hidden], stacked[:, self.hidden :]
        return [of_x, of_h, biases, torch.zeros_like(biases)]
