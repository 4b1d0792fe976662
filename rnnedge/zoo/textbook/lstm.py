"""Long short-term memory, on the concatenation of hidden state and input.

Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997; with the forget
gate of Gers, Schmidhuber and Cummins, "Learning to Forget", Neural Computation 12(10), 2000. The
notation is Olah's ("Understanding LSTM Networks", 2015), and of many courses after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnedge.zoo.textbook.loop import bias, is_exporting, over_time, weight, zeros
from rnnedge_exporters.capture import operators


class LSTM(nn.Module):
    r"""One layer, by these formulas.

    With [h_{t-1}, x_t] the hidden state and then the input, side by side:

    * f_t = sigmoid(W_f [h_{t-1}, x_t] + b_f), the forget gate
    * i_t = sigmoid(W_i [h_{t-1}, x_t] + b_i), the input gate
    * g_t = tanh(W_c [h_{t-1}, x_t] + b_c), the candidate
    * c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    * o_t = sigmoid(W_o [h_{t-1}, x_t] + b_o), the output gate
    * h_t = o_t ⊙ tanh(c_t)

    Attributes:
        w_f: [hidden, hidden + inputs], as are `w_i`, `w_c` and `w_o`.
        b_f: [hidden], as are `b_i`, `b_c` and `b_o`. It starts at one, so that at first nothing is
            forgotten (Jozefowicz et al., ICML 2015).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.w_f, self.w_i, self.w_c, self.w_o = (weight(hidden, hidden + inputs) for _ in range(4))
        self.b_f, self.b_i, self.b_c, self.b_o = (bias(hidden) for _ in range(4))
        nn.init.ones_(self.b_f)

    def step(self, x_t: Tensor, state: Sequence[Tensor]) -> Sequence[Tensor]:
        """One frame: x_t [batch, inputs], h and c [batch, hidden]."""
        h, c = state
        both = torch.cat([h, x_t], -1)
        f = torch.sigmoid(both @ self.w_f.T + self.b_f)
        i = torch.sigmoid(both @ self.w_i.T + self.b_i)
        g = torch.tanh(both @ self.w_c.T + self.b_c)
        c = f * c + i * g
        o = torch.sigmoid(both @ self.w_o.T + self.b_o)
        return o * torch.tanh(c), c

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Runs over time.

        Args:
            x: [batch, time, inputs].
            state: h and c before the first frame, each [batch, hidden]; None for zeros.

        Returns:
            h_t for all frames, [batch, time, hidden], and the last h and c.
        """
        h, c = (zeros(x, self.hidden), zeros(x, self.hidden)) if state is None else state
        if is_exporting():
            y, last_h, last_c = operators.lstm(
                x.transpose(0, 1), h.unsqueeze(0), c.unsqueeze(0), self._weights(), False
            )
            return y.transpose(0, 1), (last_h.squeeze(0), last_c.squeeze(0))
        y, (h, c) = over_time(self.step, x, (h, c))
        return y, (h, c)

    def _weights(self) -> list[Tensor]:
        """As `torch.nn.LSTM` has them: one matrix for the input and one for the hidden state.

        Gates are stacked in torch's order: input, forget, candidate, output.
        """
        stacked = torch.cat([self.w_i, self.w_f, self.w_c, self.w_o])
        biases = torch.cat([self.b_i, self.b_f, self.b_c, self.b_o])
        # The first columns belong to h.
        of_h, of_x = stacked[:, : self.hidden], stacked[:, self.hidden :]
        return [of_x, of_h, biases, torch.zeros_like(biases)]
