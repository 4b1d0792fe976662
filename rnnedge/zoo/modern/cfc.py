"""The closed-form continuous-time cell (Hasani et al., "Closed-form continuous-time neural
networks", Nature Machine Intelligence 4, 2022; arXiv:2106.13898).
"""  # noqa: D205 - the title is long

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnnedge_exporters.scan import scan


class CfC(nn.Module):
    r"""Approximates a liquid time-constant network without solving its differential equation.

    With a backbone b_t = tanh(W_b [x_t, h_{t-1}]), f, g and k linear in it, and τ the time between
    two frames:

    * h_t = sigmoid(-f τ) ⊙ tanh(g) + (1 - sigmoid(-f τ)) ⊙ tanh(k)

    (the paper's equation 10). It is not linear in its state, and trains step by step.

    Attributes:
        elapsed: τ, the same between all frames.
    """

    def __init__(
        self, inputs: int, hidden: int, backbone: int | None = None, elapsed: float = 1.0
    ) -> None:
        super().__init__()
        self.hidden, self.elapsed = hidden, elapsed
        backbone = backbone or hidden
        self.of_x = nn.Linear(inputs, backbone)
        self.of_h = nn.Linear(hidden, backbone, bias=False)
        self.heads = nn.Linear(backbone, 3 * hidden)

    def step(self, of_x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One frame: of_x [batch, backbone], h [batch, hidden]."""
        f, g, k = self.heads(torch.tanh(of_x + self.of_h(h))).chunk(3, -1)
        share = torch.sigmoid(-f * self.elapsed)
        h = share * torch.tanh(g) + (1 - share) * torch.tanh(k)
        return h, h

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """X [batch, time, inputs], h [batch, hidden] -> h_t for all frames, and the last."""
        h = x.new_zeros(x.shape[0], self.hidden) if h is None else h
        return scan(self.step, self.of_x(x), h)
