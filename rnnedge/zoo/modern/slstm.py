"""sLSTM (Beck et al., "xLSTM: Extended Long Short-Term Memory", arXiv:2405.04517)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnedge_exporters.scan import scan

State = tuple[Tensor, Tensor, Tensor, Tensor]


class SLSTM(nn.Module):
    r"""An LSTM with an exponential input gate, a normaliser and a stabiliser.

    With a~ = W_a x_t + R_a h_{t-1} + b_a for each a of i, f, z and o:

    * m_t = max(log sigmoid(f~) + m_{t-1}, i~)
    * i_t = exp(i~ - m_t), f_t = exp(log sigmoid(f~) + m_{t-1} - m_t)
    * c_t = f_t ⊙ c_{t-1} + i_t ⊙ tanh(z~)
    * n_t = f_t ⊙ n_{t-1} + i_t
    * h_t = sigmoid(o~) ⊙ c_t / max(n_t, 10^-6)

    (the paper's equations 8 to 17 with a sigmoid for the forget gate; one head). It is not linear
    in its state, and trains step by step.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.of_x = nn.Linear(inputs, 4 * hidden)
        self.of_h = nn.Linear(hidden, 4 * hidden, bias=False)
        # Gates in the order i, f, z, o; at first, little is forgotten.
        nn.init.constant_(self.of_x.bias[hidden : 2 * hidden], 3.0)

    def step(self, of_x: Tensor, state: State) -> tuple[Tensor, State]:
        """One frame: of_x [batch, 4 * hidden], and h, c, n and m, each [batch, hidden]."""
        h, c, n, m = state
        i, f, z, o = (of_x + self.of_h(h)).chunk(4, -1)
        kept = functional.logsigmoid(f) + m
        m = torch.maximum(kept, i)
        i, f = torch.exp(i - m), torch.exp(kept - m)
        c, n = f * c + i * torch.tanh(z), f * n + i
        h = torch.sigmoid(o) * c / n.clamp(min=1e-6)
        return h, (h, c, n, m)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """X [batch, time, inputs] -> h_t for all frames, and the state after the last."""
        if state is None:
            zeros = x.new_zeros(x.shape[0], self.hidden)
            state = (zeros, zeros, zeros, zeros)
        return scan(self.step, self.of_x(x), state)
