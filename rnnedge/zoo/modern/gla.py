"""Gated linear attention (Yang et al., arXiv:2312.06635)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnedge.zoo.modern.scans import linear_recurrence


class GatedLinearAttention(nn.Module):
    r"""Attention without a softmax, as a recurrence whose state is a matrix that forgets by rows.

    For each head, with q_t, k_t and v_t linear in x_t:

    * alpha_t = sigmoid(W_2 W_1 x_t + b)^(1/16), one for each row of S
    * S_t = diag(alpha_t) S_{t-1} + k_t v_t^T
    * o_t = S_t^T q_t / sqrt(size of a key)
    * the result is W_o (normalised o_t ⊙ silu(W_g x_t))

    (the paper's equation 3 and section 4.4).
    """

    def __init__(self, inputs: int, hidden: int, heads: int = 4, rank: int = 8) -> None:
        super().__init__()
        self.heads, self.size = heads, hidden // heads
        self.query, self.key, self.value, self.gate = (
            nn.Linear(inputs, hidden, bias=False) for _ in range(4)
        )
        self.keep = nn.Sequential(nn.Linear(inputs, rank, bias=False), nn.Linear(rank, hidden))
        self.norm = nn.LayerNorm(self.size)
        self.output = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor, s: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """X [batch, time, inputs], s [batch, heads, key, value] -> [batch, time, hidden], and s."""
        if s is None:
            s = x.new_zeros(x.shape[0], self.heads, self.size, self.size)
        q, k, v = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        keep = torch.exp(functional.logsigmoid(self._heads(self.keep(x))) / 16)
        written = k.unsqueeze(-1) * v.unsqueeze(-2)
        kept = keep.unsqueeze(-1).expand(-1, -1, -1, -1, self.size)
        states, s = linear_recurrence(kept, written, s, in_parallel=self.training)
        o = (states * q.unsqueeze(-1)).sum(-2) / self.size**0.5
        return self.output(self.norm(o).flatten(-2) * functional.silu(self.gate(x))), s

    def _heads(self, x: Tensor) -> Tensor:
        """[batch, time, hidden] -> [batch, time, heads, size]."""
        return torch.unflatten(x, -1, (self.heads, self.size))
