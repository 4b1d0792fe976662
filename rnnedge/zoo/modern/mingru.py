"""minGRU (Feng et al., "Were RNNs All We Needed?", arXiv:2410.01201)."""

from __future__ import annotations

from torch import Tensor, nn

from rnnedge.zoo.modern.scans import linear_recurrence


class MinGRU(nn.Module):
    r"""A GRU whose gate does not see the hidden state, and which is linear in it for that reason.

    * z_t = sigmoid(W_z x_t + b_z)
    * n_t = W_n x_t + b_n
    * h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ n_t

    (the paper's section 3.1, without its log-space variant).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(inputs, hidden)
        self.candidate = nn.Linear(inputs, hidden)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """X [batch, time, inputs], h [batch, hidden] -> h_t for all frames, and the last."""
        h = x.new_zeros(x.shape[0], self.gate.out_features) if h is None else h
        z = self.gate(x).sigmoid()
        return linear_recurrence(1 - z, z * self.candidate(x), h, in_parallel=self.training)
