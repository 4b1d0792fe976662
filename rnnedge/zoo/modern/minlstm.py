"""minLSTM (Feng et al., "Were RNNs All We Needed?", arXiv:2410.01201)."""

from __future__ import annotations

from torch import Tensor, nn

from rnnedge.zoo.modern.scans import linear_recurrence


class MinLSTM(nn.Module):
    r"""An LSTM whose gates do not see the hidden state, and sum to one.

    * f_t = sigmoid(W_f x_t + b_f), i_t = sigmoid(W_i x_t + b_i)
    * f'_t = f_t / (f_t + i_t), i'_t = i_t / (f_t + i_t)
    * n_t = W_n x_t + b_n
    * h_t = f'_t ⊙ h_{t-1} + i'_t ⊙ n_t

    (the paper's section 3.2, without its log-space variant).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.forget = nn.Linear(inputs, hidden)
        self.input = nn.Linear(inputs, hidden)
        self.candidate = nn.Linear(inputs, hidden)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """X [batch, time, inputs], h [batch, hidden] -> h_t for all frames, and the last."""
        h = x.new_zeros(x.shape[0], self.forget.out_features) if h is None else h
        f, i = self.forget(x).sigmoid(), self.input(x).sigmoid()
        a, b = f / (f + i), i / (f + i) * self.candidate(x)
        return linear_recurrence(a, b, h, in_parallel=self.training)
