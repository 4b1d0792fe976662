"""A keyword detector with attention over the last half second.

Log-mel frames in, one score per keyword and frame out. Every frame attends to itself and the
frames shortly before it; the mask is written as one does for whole sequences.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
CLASSES = ("other", *KEYWORDS)
MELS = 40


class LocalAttention(nn.Module):
    """Each frame attends to the last `window` frames, itself among them."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.project = nn.Linear(channels, 3 * channels)
        self.leave = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, time, channels]``, the same shape out."""
        batch, time, channels = x.shape
        x = self.project(x).reshape(batch, time, 3 * self.heads, channels // self.heads)
        q, k, v = x.transpose(1, 2).chunk(3, dim=1)  # [batch, heads, time, channels / heads]

        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # [batch, heads, time, time]
        frame = torch.arange(time, device=x.device)
        age = frame[:, None] - frame[None, :]
        allowed = (age >= 0) & (age < self.window)
        scores = scores.masked_fill(~allowed, -math.inf)

        y = scores.softmax(dim=-1) @ v
        return self.leave(y.transpose(1, 2).reshape(batch, time, channels))


class CausalConv(nn.Module):
    """A depthwise convolution over time that gives the attention a sense of order."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.past = kernel - 1
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels)
        self.pointwise = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, time, channels]``, the same shape out."""
        y = self.depthwise(F.pad(x.transpose(1, 2), (self.past, 0)))
        return self.pointwise(F.silu(y.transpose(1, 2)))


class Block(nn.Module):
    """Convolution, attention and a layer for each frame, each with a way around it."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.conv_norm = nn.LayerNorm(channels)
        self.conv = CausalConv(channels, kernel=7)
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = LocalAttention(channels, heads, window)
        self.frame_norm = nn.LayerNorm(channels)
        self.frame = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.SiLU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, time, channels]``, the same shape out."""
        x = x + self.conv(self.conv_norm(x))
        x = x + self.attention(self.attention_norm(x))
        return x + self.frame(self.frame_norm(x))


class KeywordNet(nn.Module):
    """Three blocks between two linear layers."""

    def __init__(self, channels: int = 48, heads: int = 2, window: int = 24) -> None:
        super().__init__()
        self.enter = nn.Linear(MELS, channels)
        self.blocks = nn.Sequential(*(Block(channels, heads, window) for _ in range(3)))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, len(CLASSES))

    def forward(self, mels: Tensor) -> Tensor:
        """Log-mel frames, ``[batch, time, mels]``, to logits, ``[batch, time, classes]``."""
        return self.head(self.norm(self.blocks(self.enter(mels))))


def make_model() -> KeywordNet:
    """The network, ready for weights."""
    return KeywordNet()
