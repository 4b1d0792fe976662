"""Floats to small integers.

Integer products run as unsigned 8 bits by signed 8 bits. On processors without VNNI, onnxruntime
adds two such products in 16 bits, which saturate: 2 * 255 * 127 is beyond 32767. With weights of
7 bits, -64 to 64, the sum is 2 * 255 * 64 = 32640 at most, and no product ever saturates. So
weights that meet quantised activations have 7 bits here, on every processor alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVELS = 64
"""The largest weight as an integer: 7 bits."""
_MOST_RATIO = 1e6
"""Beyond that one of two matrices is as good as zero, and floats would overflow."""
ACTIVATION_LEVELS = 255
"""Activations are uint8."""


@dataclass(frozen=True)
class Range:
    """What an activation was seen to lie between; zero is always inside."""

    low: float
    high: float

    def scale_and_zero(self) -> tuple[np.ndarray, np.ndarray]:
        """The step of uint8 and the integer that stands for zero, as scalars."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        scale = (high - low) / ACTIVATION_LEVELS or 1.0
        zero = np.clip(round(-low / scale), 0, ACTIVATION_LEVELS)
        return np.array(scale, np.float32), np.array(zero, np.uint8)

    def joined(self, other: Range) -> Range:
        """What holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


def to_levels(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The nearest multiples of `scale` as int8, -64 to 64."""
    whole = np.clip(np.rint(values / scale), -LEVELS, LEVELS)
    return np.asarray(whole, np.int8)


def channel_scale(largest: np.ndarray) -> np.ndarray:
    """The step for each channel, from its largest weight; 1 where all weights are zero."""
    scale = np.asarray(largest, np.float32) / LEVELS
    return np.where(scale > np.finfo(np.float32).tiny, scale, np.float32(1.0))


def shared_scales(w: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, float]:
    """Steps by which two matrices, ``[channels, ...]`` each, are rounded together.

    The products of both are added up. With one step per channel for both, times one number for all
    of `w`, the sum is scaled once, after it: the fastest form, since scaling each product by
    channel costs onnxruntime as much again as a fifth of the product.

    Returns:
        The step of `r` by channel, ``[channels]``, and the number: that of `w` is `ratio` times it.
    """
    largest_w, largest_r = np.abs(w).max(axis=1), np.abs(r).max(axis=1)
    usual_w, usual_r = float(np.median(largest_w)), float(np.median(largest_r))
    ratio = usual_w / usual_r if usual_w > 0 and usual_r > 0 else 1.0
    ratio = min(max(ratio, 1 / _MOST_RATIO), _MOST_RATIO)
    return channel_scale(np.maximum(largest_w / ratio, largest_r)), ratio


def to_blocks(weights: np.ndarray, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[channels, inputs]`` as onnxruntime's ``MatMulNBits`` wants them.

    Each block of `block` inputs has a step of its own; the integers are unsigned, the zero in the
    middle. Two of 4 bits share a byte, the first in the lower half.

    Returns:
        ``uint8[channels, blocks, block * bits / 8]`` and ``float32[channels, blocks]``.
    """
    channels, inputs = weights.shape
    blocks = -(-inputs // block)
    padded = np.zeros((channels, blocks * block), np.float32)
    padded[:, :inputs] = weights
    padded = padded.reshape(channels, blocks, block)
    middle = 2 ** (bits - 1)
    scale = np.abs(padded).max(axis=-1) / (middle - 1)
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    whole = np.rint(padded / scale[..., None]) + middle
    whole = np.clip(whole, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:
        whole = whole[..., 0::2] | (whole[..., 1::2] << 4)
    return whole, scale
