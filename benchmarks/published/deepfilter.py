"""DeepFilterNet's shape: two encoders, a mask over bands, filters over frames. Our writing."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from case import Case
from torch import Tensor, nn


class Conv(nn.Module):
    """A separable convolution over [batch, channels, time, bands], padded in the past."""

    def __init__(self, inputs: int, outputs: int, times: int, stride: int = 1) -> None:
        super().__init__()
        groups = min(inputs, outputs)
        self.past = times - 1
        self.depth = nn.Conv2d(
            inputs, outputs, (times, 3), (1, stride), (0, 1), groups=groups, bias=False
        )
        self.point = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.point(self.depth(F.pad(x, (0, 0, self.past, 0))))).relu()


class GroupedLinear(nn.Module):
    """A linear layer over each group of features."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.randn(groups, inputs // groups, outputs // groups) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, inputs] to [batch, time, outputs]."""
        x = x.unflatten(-1, (self.groups, -1))
        return torch.einsum("btgi,gih->btgh", x, self.weight).flatten(2)


class SqueezedGRU(nn.Module):
    """A grouped linear layer, GRUs, a grouped linear layer."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        super().__init__()
        self.squeeze = GroupedLinear(inputs, hidden, 4)
        self.gru = nn.GRU(hidden, hidden, layers, batch_first=True)
        self.open = GroupedLinear(hidden, outputs, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.open(self.gru(self.squeeze(x).relu())[0]).relu()


class DeepFilterNet(nn.Module):
    """DeepFilterNet 2 and 3 (Schroeter et al., 2022, 2023), from a spectrum and two features.

    Args:
        look: frames that the features look ahead, by a shift of the features.
        order: taps of the deep filter, of which `look` lie ahead.
    """

    def __init__(self, look: int = 2, order: int = 5, width: int = 8, bands: int = 16) -> None:
        super().__init__()
        self.look, self.order, self.low, self.bands = look, order, 8, bands
        self.e0, self.e1 = Conv(1, width, 3), Conv(width, width, 1, 2)
        self.e2, self.e3 = Conv(width, width, 1, 2), Conv(width, width, 1)
        self.c0, self.c1 = Conv(2, width, 3), Conv(width, width, 1, 2)
        inner = width * bands // 4
        self.mix = GroupedLinear(width * self.low // 2, inner, 4)
        self.middle = SqueezedGRU(inner, 16, inner, 1)
        self.masks = SqueezedGRU(inner, 16, inner, 1)
        self.d3, self.d0 = Conv(width, width, 1), nn.Conv2d(width, 1, (1, 3), padding=(0, 1))
        self.d2, self.d1 = (
            nn.ConvTranspose2d(width, width, (1, 3), (1, 2), (0, 1), (0, 1)) for _ in range(2)
        )
        self.p0, self.p1, self.p2, self.p3 = (nn.Conv2d(width, width, 1) for _ in range(4))
        self.filters = SqueezedGRU(inner, 16, self.low * order * 2, 2)
        self.path = nn.Conv2d(width, 2 * order, (5, 1), bias=False)
        self.register_buffer("inverse", torch.rand(bands, 33))

    def _deep_filter(self, spectrum: Tensor, taps: Tensor) -> Tensor:
        """[batch, 2, time, low] by [batch, time, low, order, 2]."""
        x = F.pad(spectrum, (0, 0, self.order - 1 - self.look, self.look))
        real, imaginary = x.unfold(2, self.order, 1).unbind(1)  # [batch, time, low, order]
        a, b = taps.unbind(-1)
        return torch.stack(
            [(real * a - imaginary * b).sum(-1), (real * b + imaginary * a).sum(-1)], 1
        )

    def forward(self, spectrum: Tensor, erb: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """Spectrum [batch, 2, time, 33], bands [batch, 1, time, 16], low [batch, 2, time, 8]."""
        ahead = (0, 0, -self.look, self.look)
        e0 = self.e0(F.pad(erb, ahead))
        e1 = self.e1(e0)
        e2 = self.e2(e1)
        e3 = self.e3(e2)
        c0 = self.c0(F.pad(low, ahead))
        mixed = self.mix(self.c1(c0).permute(0, 2, 3, 1).flatten(2)).relu()
        middle = self.middle(e3.permute(0, 2, 3, 1).flatten(2) + mixed)
        batch, _, time, _ = e3.shape
        y = self.masks(middle).view(batch, time, self.bands // 4, -1).permute(0, 3, 1, 2)
        y = self.d3(self.p3(e3) + y)
        y = self.d2(self.p2(e2) + y).relu()
        y = self.d1(self.p1(e1) + y).relu()
        mask = self.d0(self.p0(e0) + y).sigmoid()
        masked = spectrum * (mask @ self.inverse)
        path = self.path(F.pad(c0, (0, 0, 4, 0))).permute(0, 2, 3, 1)
        taps = self.filters(middle).view(batch, time, self.low, -1).tanh() + path
        taps = taps.view(batch, time, self.low, self.order, 2)
        filtered = self._deep_filter(spectrum[..., : self.low], taps)
        return torch.cat([filtered, masked[..., self.low :]], -1), mask


INPUTS = {
    "spectrum": "float32[batch, 2, time, 33]",
    "erb": "float32[batch, 1, time, 16]",
    "low": "float32[batch, 2, time, 8]",
}
CASES = [
    Case("deepfilternet", "Schroeter 2022", DeepFilterNet, INPUTS),
    Case("deepfilternet-causal", "Schroeter 2022", lambda: DeepFilterNet(look=0), INPUTS),
]
