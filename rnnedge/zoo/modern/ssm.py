"""A selective state space (Gu and Dao, "Mamba", arXiv:2312.00752)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnedge.zoo.modern.scans import linear_recurrence


class SelectiveSSM(nn.Module):
    r"""Mamba's block: a short convolution, the selective state space S6, and an output gate.

    With u_t = silu(causal convolution of W_u x), for each channel d and each of its N states:

    * Δ_t = softplus(W_Δ u_t + b_Δ), [channels]
    * B_t = W_B u_t, C_t = W_C u_t, [states]
    * s_t = exp(Δ_t A) s_{t-1} + Δ_t B_t u_t, with A = -exp(A_log), [channels, states]
    * y_t = C_t · s_t + D u_t
    * the result is W_o (y_t ⊙ silu(W_g x_t))

    (the paper's algorithm 2 and figure 3). The state that forward takes and returns is s alone; the
    frames that the convolution looks back on are zeros before the first. The exporter keeps them.
    """

    def __init__(self, inputs: int, hidden: int, states: int = 8, kernel: int = 4) -> None:
        super().__init__()
        self.kernel, self.states = kernel, states
        self.of_input = nn.Linear(inputs, hidden, bias=False)
        self.gate = nn.Linear(inputs, hidden, bias=False)
        self.convolution = nn.Conv1d(hidden, hidden, kernel, groups=hidden)
        self.of_step = nn.Linear(hidden, hidden)
        self.of_b = nn.Linear(hidden, states, bias=False)
        self.of_c = nn.Linear(hidden, states, bias=False)
        # A starts at -1, -2, ..., -N (S4D-Real), and Δ between 0.001 and 0.1.
        self.a_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(hidden, 1))
        self.d = nn.Parameter(torch.ones(hidden))
        self.output = nn.Linear(hidden, hidden, bias=False)
        step = torch.exp(torch.empty(hidden).uniform_(-6.9, -2.3))
        with torch.no_grad():
            self.of_step.bias.copy_(step + torch.log(-torch.expm1(-step)))

    def forward(self, x: Tensor, s: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """X [batch, time, inputs], s [batch, hidden, states] -> [batch, time, hidden], and s."""
        s = x.new_zeros(x.shape[0], self.d.shape[0], self.states) if s is None else s
        past = functional.pad(self.of_input(x).transpose(1, 2), (self.kernel - 1, 0))
        u = functional.silu(self.convolution(past)).transpose(1, 2)
        step = functional.softplus(self.of_step(u))
        a = torch.exp(step.unsqueeze(-1) * -torch.exp(self.a_log))
        b = (step * u).unsqueeze(-1) * self.of_b(u).unsqueeze(-2)
        states, s = linear_recurrence(a, b, s, in_parallel=self.training)
        y = (states * self.of_c(u).unsqueeze(-2)).sum(-1) + self.d * u
        return self.output(y * functional.silu(self.gate(x))), s
