"""A temporal convolutional network: which gesture does an accelerometer see, frame by frame?

The usual shape of such networks: every convolution is padded on both sides, and what stands on the
right of the signal afterwards is cut off ("chomped"), which leaves it causal.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

AXES = 3
CLASSES = ("none", "swipe left", "swipe right", "circle cw", "circle ccw", "double tap")


class Chomp(nn.Module):
    """Cuts the last `size` frames off."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, time + size]`` to ``[batch, channels, time]``."""
        return x[:, :, : -self.size]


class ResidualBlock(nn.Module):
    """Two dilated convolutions and a way around them."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        padding = (kernel - 1) * dilation
        self.net = nn.Sequential(
            weight_norm(nn.Conv1d(inputs, outputs, kernel, padding=padding, dilation=dilation)),
            Chomp(padding),
            nn.ReLU(),
            nn.Dropout(dropout),
            weight_norm(nn.Conv1d(outputs, outputs, kernel, padding=padding, dilation=dilation)),
            Chomp(padding),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.around = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, inputs, time]`` to ``[batch, outputs, time]``."""
        return self.act(self.net(x) + self.around(x))


class Tcn(nn.Module):
    """Residual blocks with dilations 1 to 16: 2.5 s of the past at 50 Hz."""

    def __init__(self, channels: int = 24, kernel: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        widths = [AXES] + [channels] * 5
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(inputs, outputs, kernel, 2**level, dropout)
                for level, (inputs, outputs) in enumerate(pairwise(widths))
            )
        )
        self.head = nn.Linear(channels, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Acceleration in g, ``[batch, time, 3]``, to logits, ``[batch, time, classes]``."""
        x = self.blocks(x.transpose(1, 2))
        return self.head(x.transpose(1, 2))


def make_model() -> Tcn:
    """The network, ready for weights."""
    return Tcn()
