"""The linear recurrent unit (Orvieto et al., "Resurrecting Recurrent Neural Networks for Long
Sequences", arXiv:2303.06349).
"""  # noqa: D205 - the title is long

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rnnedge.zoo.modern.scans import parallel_scan
from rnnedge_exporters.scan import scan


class LRU(nn.Module):
    r"""A diagonal linear recurrence over complex numbers, which are pairs of reals here.

    * s_t = lambda ⊙ s_{t-1} + gamma ⊙ (B x_t), complex
    * y_t = Re(C s_t) + D ⊙ x_t if there are as many inputs as outputs, else without D
    * lambda = exp(-exp(nu) + i exp(theta)), so that |lambda| < 1; gamma = sqrt(1 - |lambda|^2)

    (the paper's equations 5 to 7). ONNX has no complex numbers: s is [batch, units, 2].

    Attributes:
        nu: [units]; at first |lambda| is between 0.5 and 0.999, its square uniform.
        theta: [units]; at first lambda's phase is between 0 and π: half a circle, as y is real.
        b: B, [2 * units, inputs]: real parts, then imaginary ones.
        c: C, [outputs, 2 * units].
        d: D, [outputs]; None where it has no place.
    """

    def __init__(self, inputs: int, hidden: int, units: int | None = None) -> None:
        super().__init__()
        units = units or hidden
        squared = torch.empty(units).uniform_(0.5**2, 0.999**2)
        self.nu = nn.Parameter((-squared.log() / 2).log())
        self.theta = nn.Parameter(torch.empty(units).uniform_(1e-3, math.pi).log())
        self.b = nn.Parameter(torch.randn(2 * units, inputs) / math.sqrt(2 * inputs))
        self.c = nn.Parameter(torch.randn(hidden, 2 * units) / math.sqrt(units))
        self.d = nn.Parameter(torch.randn(hidden)) if inputs == hidden else None

    def forward(self, x: Tensor, s: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """X [batch, time, inputs], s [batch, units, 2] -> y [batch, time, hidden], and s."""
        units = self.nu.shape[0]
        start = x.new_zeros(x.shape[0], units, 2) if s is None else s
        size = torch.exp(-torch.exp(self.nu))
        phase = torch.exp(self.theta)
        eigenvalues = torch.stack([size * torch.cos(phase), size * torch.sin(phase)], -1)
        driven = torch.unflatten(x @ self.b.T, -1, (2, units)).transpose(-1, -2)
        driven = torch.sqrt(1 - size**2).unsqueeze(-1) * driven

        def step(b_t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
            s = times(eigenvalues, s) + b_t
            return s, s

        if self.training:
            states = parallel_scan(eigenvalues.expand_as(driven), driven, start, times)
            last = states[:, -1]
        else:
            states, last = scan(step, driven, start)
        # Re(C s): the imaginary part of C s is not wanted, so C's own counts with a minus.
        y = states.transpose(-1, -2).flatten(-2) @ self.c.T
        return (y if self.d is None else y + self.d * x), last


def times(a: Tensor, b: Tensor) -> Tensor:
    """The product of complex numbers, [..., 2]."""
    (a_re, a_im), (b_re, b_im) = a.unbind(-1), b.unbind(-1)
    return torch.stack([a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re], -1)
