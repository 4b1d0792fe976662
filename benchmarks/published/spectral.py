"""Denoisers over spectra: [batch, channels, time, frequency]. Our writing, from the papers."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from case import Case
from torch import Tensor, nn


class Subbands(nn.Module):
    """Gives each band its two neighbours as channels."""

    def forward(self, x: Tensor) -> Tensor:
        batch, _, time, bands = x.shape
        return F.unfold(x, (1, 3), padding=(0, 1)).reshape(batch, -1, time, bands)


class TimeAttention(nn.Module):
    """Weighs channels over time by a GRU over their energy (GTCRN's TRA)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, 2 * channels, batch_first=True)
        self.out = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        energy = x.pow(2).mean(-1)
        weight = self.out(self.gru(energy.transpose(1, 2))[0]).transpose(1, 2).sigmoid()
        return x * weight[..., None]


class GroupedTemporalConv(nn.Module):
    """GTCRN's GT-Conv: half of the channels pass a dilated causal block, then all are shuffled."""

    def __init__(self, channels: int, dilation: int, *, decoder: bool = False) -> None:
        super().__init__()
        half, conv = channels // 2, nn.ConvTranspose2d if decoder else nn.Conv2d
        self.past, self.decoder = 2 * dilation, decoder
        self.bands = Subbands()
        self.expand = nn.Sequential(conv(3 * half, channels, 1), nn.BatchNorm2d(channels))
        padding = (self.past, 1) if decoder else (0, 1)
        self.depth = nn.Sequential(
            conv(channels, channels, 3, padding=padding, dilation=(dilation, 1), groups=channels),
            nn.BatchNorm2d(channels),
        )
        self.act = nn.PReLU()
        self.reduce = nn.Sequential(conv(channels, half, 1), nn.BatchNorm2d(half))
        self.attention = TimeAttention(half)

    def forward(self, x: Tensor) -> Tensor:
        kept, moved = x.chunk(2, 1)
        y = F.pad(self.act(self.expand(self.bands(moved))), (0, 0, self.past, 0))
        y = self.attention(self.reduce(self.act(self.depth(y))))
        return torch.stack([kept, y], 2).flatten(1, 2)


class GroupedGRU(nn.Module):
    """Two GRUs, each over half of the features."""

    def __init__(self, width: int, hidden: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        sizes, options = (width // 2, hidden // 2), {"bidirectional": bidirectional}
        self.a = nn.GRU(*sizes, batch_first=True, **options)
        self.b = nn.GRU(*sizes, batch_first=True, **options)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        return torch.cat([self.a(a)[0], self.b(b)[0]], -1)


class DualPath(nn.Module):
    """A recurrence over frequency, both ways, then one over time."""

    def __init__(self, channels: int, bands: int, *, grouped: bool = True) -> None:
        super().__init__()
        self.grouped = grouped
        if grouped:
            self.intra: nn.Module = GroupedGRU(channels, channels // 2, bidirectional=True)
            self.inter: nn.Module = GroupedGRU(channels, channels)
        else:
            self.intra = nn.LSTM(channels, channels // 2, batch_first=True, bidirectional=True)
            self.inter = nn.LSTM(channels, channels, batch_first=True)
        self.intra_out, self.inter_out = (nn.Linear(channels, channels) for _ in range(2))
        self.intra_norm, self.inter_norm = (nn.LayerNorm((bands, channels)) for _ in range(2))

    def _run(self, layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x) if self.grouped else layer(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1).contiguous()  # [batch, time, bands, channels]
        batch, time, bands, width = x.shape
        y = self.intra_out(self._run(self.intra, x.reshape(batch * time, bands, width)))
        x = x + self.intra_norm(y.view(batch, time, bands, width))
        y = x.permute(0, 2, 1, 3).reshape(batch * bands, time, width)
        y = self.inter_out(self._run(self.inter, y)).view(batch, bands, time, width)
        x = x + self.inter_norm(y.permute(0, 2, 1, 3))
        return x.permute(0, 3, 1, 2)


class GTCRN(nn.Module):
    """Grouped temporal convolutional recurrent network (Rong et al., ICASSP 2024), the core."""

    def __init__(self, width: int = 8, bands: int = 33) -> None:
        super().__init__()
        self.bands = Subbands()
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(9, width, (1, 5), (1, 2), (0, 2)), nn.BatchNorm2d(width), nn.PReLU()
                ),
                nn.Sequential(
                    nn.Conv2d(width, width, (1, 5), (1, 2), (0, 2), groups=2),
                    nn.BatchNorm2d(width),
                    nn.PReLU(),
                ),
                *(GroupedTemporalConv(width, d) for d in (1, 2, 5)),
            ]
        )
        inner = (bands - 1) // 4 + 1
        self.paths = nn.Sequential(DualPath(width, inner), DualPath(width, inner))
        self.decoder = nn.ModuleList(
            [
                *(GroupedTemporalConv(width, d, decoder=True) for d in (5, 2, 1)),
                nn.Sequential(
                    nn.ConvTranspose2d(width, width, (1, 5), (1, 2), (0, 2), groups=2),
                    nn.BatchNorm2d(width),
                    nn.PReLU(),
                ),
                nn.Sequential(nn.ConvTranspose2d(width, 2, (1, 5), (1, 2), (0, 2)), nn.Tanh()),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Magnitude, real and imaginary part [batch, 3, time, bands] to a denoised spectrum."""
        spectrum, skips, y = x[:, 1:], [], self.bands(x)
        for layer in self.encoder:
            y = layer(y)
            skips.append(y)
        y = self.paths(y)
        for layer in self.decoder:
            y = layer(y + skips.pop())
        real = spectrum[:, 0] * y[:, 0] - spectrum[:, 1] * y[:, 1]
        imaginary = spectrum[:, 1] * y[:, 0] + spectrum[:, 0] * y[:, 1]
        return torch.stack([real, imaginary], 1)


class CRN(nn.Module):
    """Convolutional recurrent network (Tan and Wang, Interspeech 2018), or DPCRN (Le et al. 2021).

    Args:
        dual: a dual-path recurrence in the place of two LSTMs over all bands and channels.
    """

    def __init__(self, *, dual: bool, bands: int = 31, widths: tuple[int, ...] = (4, 8, 8)) -> None:
        super().__init__()
        steps = list(zip((2, *widths), widths, strict=False))
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, (2, 3), (1, 2)), nn.BatchNorm2d(b), nn.ELU())
            for a, b in steps
        )
        for _ in widths:
            bands = (bands - 3) // 2 + 1
        self.dual = dual
        size = widths[-1] * bands
        self.middle: nn.Module = (
            nn.Sequential(DualPath(widths[-1], bands, grouped=False))
            if dual
            else nn.LSTM(size, size, 2, batch_first=True)
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(2 * b, a, (2, 3), (1, 2)), nn.BatchNorm2d(a), nn.ELU())
            for a, b in reversed(steps)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 2, time, bands] to the same."""
        skips, y = [], x
        for layer in self.encoder:
            y = layer(F.pad(y, (0, 0, 1, 0)))
            skips.append(y)
        if self.dual:
            y = self.middle(y)
        else:
            batch, channels, time, bands = y.shape
            flat = self.middle(y.transpose(1, 2).reshape(batch, time, -1))[0]
            y = flat.view(batch, time, channels, bands).transpose(1, 2)
        for layer in self.decoder:
            y = layer(torch.cat([y, skips.pop()], 1))[:, :, :-1]  # the last frame is to come
        return y


class RNNoise(nn.Module):
    """RNNoise's three GRUs over band features (Valin, 2018): gains and voice activity."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.vad_out = nn.Linear(42, 24), nn.Linear(24, 1)
        self.vad = nn.GRU(24, 24, batch_first=True)
        self.noise = nn.GRU(24 + 24 + 42, 48, batch_first=True)
        self.denoise = nn.GRU(24 + 48 + 42, 96, batch_first=True)
        self.gain = nn.Linear(96, 22)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, time, 42] to gains [batch, time, 22] and voice activity [batch, time, 1]."""
        dense = self.dense(x).tanh()
        vad = self.vad(dense)[0]
        noise = self.noise(torch.cat([dense, vad, x], -1))[0]
        gains = self.gain(self.denoise(torch.cat([vad, noise, x], -1))[0])
        return gains.sigmoid(), self.vad_out(vad).sigmoid()


class NewRNNoise(nn.Module):
    """RNNoise since 0.2: two unpadded convolutions over time, three GRUs, all of it read out."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(65, 16, 3), nn.Conv1d(16, width, 3)
        self.grus = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(3))
        self.out = nn.Linear(4 * width, 32)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, 65] to gains [batch, time - 4, 32]."""
        seen = [self.b(self.a(x.transpose(1, 2)).tanh()).tanh().transpose(1, 2)]
        for gru in self.grus:
            seen.append(gru(seen[-1])[0])
        return self.out(torch.cat(seen, -1)).sigmoid()


class FullSubNet(nn.Module):
    """Full-band and sub-band fusion (Hao et al., ICASSP 2021), with one frame of lookahead.

    Args:
        cumulative: normalise by the running mean, as its streaming variant does; otherwise by the
            mean of the whole signal, as it was published.
    """

    def __init__(self, *, cumulative: bool, bands: int = 17, near: int = 2) -> None:
        super().__init__()
        self.cumulative, self.near = cumulative, near
        self.full, self.full_out = nn.LSTM(bands, 16, 2, batch_first=True), nn.Linear(16, bands)
        self.sub = nn.LSTM(2 * near + 2, 12, 2, batch_first=True)
        self.sub_out = nn.Linear(12, 2)

    def _norm(self, x: Tensor) -> Tensor:
        """Over [batch, bands, time]."""
        if not self.cumulative:
            return x / (x.mean((1, 2), keepdim=True) + 1e-5)
        step = x.mean(1, keepdim=True)
        return x / (step.cumsum(-1) / torch.ones_like(step).cumsum(-1) + 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """Magnitudes [batch, bands, time] to a complex mask [batch, 2, bands, time]."""
        x = F.pad(x.abs(), (0, 1))
        batch, bands, time = x.shape
        full = self.full_out(self.full(self._norm(x).transpose(1, 2))[0]).relu().transpose(1, 2)
        padded = F.pad(x[:, None], (0, 0, self.near, self.near), mode="reflect")[:, 0]
        units = padded.unfold(1, 2 * self.near + 1, 1)  # [batch, bands, time, near]
        both = torch.cat([units, full[..., None]], -1)
        both = self._norm(both.transpose(2, 3).flatten(1, 2)).unflatten(1, (bands, -1))
        y = self.sub_out(self.sub(both.transpose(2, 3).reshape(batch * bands, time, -1))[0])
        return y.view(batch, bands, time, 2).permute(0, 3, 1, 2)[..., 1:]


SPECTRUM = "float32[batch, 2, time, 31]"
CASES = [
    Case("gtcrn", "Rong 2024", GTCRN, {"x": "float32[batch, 3, time, 33]"}),
    Case("crn", "Tan & Wang 2018", lambda: CRN(dual=False), {"x": SPECTRUM}),
    Case("dpcrn", "Le 2021", lambda: CRN(dual=True), {"x": SPECTRUM}),
    Case("rnnoise", "Valin 2018", RNNoise, {"x": "float32[batch, time, 42]"}),
    Case("rnnoise-0.2", "Valin 2024", NewRNNoise, {"x": "float32[batch, time, 65]"}),
    Case(
        "fullsubnet",
        "Hao 2021",
        lambda: FullSubNet(cumulative=False),
        {"x": "float32[batch, 17, time]"},
    ),
    Case(
        "fullsubnet-cumulative",
        "Hao 2021",
        lambda: FullSubNet(cumulative=True),
        {"x": "float32[batch, 17, time]"},
    ),
]
