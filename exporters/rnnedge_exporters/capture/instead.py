"""Functions of torch that are traced as others that compute the same.

torch.export ties the length of a signal to the example's in `torch.istft`, `max_pool1d` and
`avg_pool1d`, and keeps `torch.stft` as one operator whose past nobody could keep. While a module is
traced, a transform is a convolution with the Fourier basis, its inverse a transposed convolution,
and pooling over one axis is pooling over two. A transform of each frame is a product with the
basis, and `functional.unfold`, which folds time with the axes that it reads, unfolds them one by
one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from rnnedge_exporters.capture.packed import pad_sequence
from rnnedge_exporters.errors import CaptureError


def stft(
    x: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """`torch.stft`: x [..., time] -> [..., frequency, frames], complex, or real with a last axis 2.

    Frequency k of frame m is the sum over n of ``window[n] * x[m * hop + n] * exp(-2i pi k n / N)``
    (the definition in torch's documentation).
    """
    _refuse_complex(x, onesided, "stft")
    if align_to_window:
        raise _unsupported("stft", "align_to_window=True")
    hop = hop_length or n_fft // 4
    if center:
        half = n_fft // 2
        x = _pad_ends(x, half, pad_mode)
    basis = _basis(n_fft, x.dtype) * _window(window, win_length or n_fft, n_fft, x)
    if normalized:
        basis = basis / math.sqrt(n_fft)
    signal = x.reshape(-1, 1, x.shape[-1])
    parts = functional.conv1d(signal, basis.unsqueeze(1), stride=hop)
    if x.ndim == 1:
        parts = parts.squeeze(0)
    real, imaginary = parts.chunk(2, dim=-2)
    if return_complex:
        return torch.complex(real, imaginary)
    return torch.stack([real, imaginary], -1)


def istft(
    spectrum: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """`torch.istft`: [..., frequency, frames], complex -> [..., time].

    Windows of the inverse transform of each frame are added where they overlap, and divided by the
    sum of the squared windows there (the least-squares estimate of Griffin and Lim, 1984).
    """
    if return_complex or onesided is False:
        raise _unsupported("istft", "return_complex=True or onesided=False")
    hop = hop_length or n_fft // 4
    parts = torch.cat([spectrum.real, spectrum.imag], -2)
    dtype = parts.dtype
    shaped = _window(window, win_length or n_fft, n_fft, parts)
    basis = _inverse_basis(n_fft, dtype) * shaped
    if normalized:
        basis = basis * math.sqrt(n_fft)
    batched = parts if parts.ndim == 3 else parts.unsqueeze(0)
    added = functional.conv_transpose1d(batched, basis.unsqueeze(1), stride=hop)
    ones = torch.ones_like(batched[:, :1])
    weight = (shaped * shaped).reshape(1, 1, n_fft)
    envelope = functional.conv_transpose1d(ones, weight, stride=hop)
    start = n_fft // 2 if center else 0
    if length is not None:
        end: int | None = start + length
    else:
        end = -(n_fft // 2) if center else None
    # Outside of the part that is kept the envelope may be zero.
    signal = added[:, 0, start:end] / envelope[:, 0, start:end]
    return signal if parts.ndim == 3 else signal.squeeze(0)


def rfft(x: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """`torch.fft.rfft`: n values along an axis to n // 2 + 1 frequencies, complex."""
    length = n or x.shape[dim]
    if not (isinstance(length, int) and isinstance(x.shape[dim], int)):  # over time: refused later
        return cast("Tensor", torch.fft.rfft(x, n, dim, norm))
    frames = _resized(x.movedim(dim, -1), length)
    parts = frames @ (_basis(length, x.dtype) * _scale(length, norm, forward=True)).mT
    real, imaginary = parts.chunk(2, -1)
    return torch.complex(real, imaginary).movedim(-1, dim)


def irfft(x: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """`torch.fft.irfft`: n // 2 + 1 frequencies along an axis to n values."""
    length = n or 2 * (x.shape[dim] - 1)
    if not isinstance(length, int) or not isinstance(x.shape[dim], int):
        return cast("Tensor", torch.fft.irfft(x, n, dim, norm))
    parts = [_resized(part.movedim(dim, -1), length // 2 + 1) for part in (x.real, x.imag)]
    basis = _inverse_basis(length, parts[0].dtype) * (length * _scale(length, norm, forward=False))
    return (torch.cat(parts, -1) @ basis).movedim(-1, dim)


def unfold(
    x: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """`functional.unfold`: x [batch, channels, a, b] -> [batch, channels * window, places]."""
    if x.ndim == 3:
        return unfold(x.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    above, beside = _two(padding)
    if above or beside:
        x = functional.pad(x, (beside, beside, above, above))
    options = zip((2, 3), _two(kernel_size), _two(dilation), _two(stride), strict=True)
    for axis, width, apart, step in options:
        if width == step == 1:
            x = x.unsqueeze(-1)
        else:
            x = x.unfold(axis, (width - 1) * apart + 1, step)[..., ::apart]
    return x.permute(0, 1, 4, 5, 2, 3).flatten(1, 3).flatten(2)


def max_pool1d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """`torch.max_pool1d`: pools x [..., channels, time] over time."""
    if return_indices:
        raise _unsupported("max_pool1d", "return_indices=True")
    pooled = functional.max_pool2d(
        x.unsqueeze(-2),
        (1, _one(kernel_size)),
        (1, _one(stride or kernel_size)),
        (0, _one(padding)),
        (1, _one(dilation)),
        ceil_mode,
    )
    return pooled.squeeze(-2)


def avg_pool1d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """`torch.avg_pool1d`: the mean of x [..., channels, time] over windows of time."""
    pooled = functional.avg_pool2d(
        x.unsqueeze(-2),
        (1, _one(kernel_size)),
        (1, _one(stride or kernel_size)),
        (0, _one(padding)),
        ceil_mode,
        count_include_pad,
    )
    return pooled.squeeze(-2)


def diff(
    x: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """`torch.diff`: differences between neighbours along an axis, n times."""
    if prepend is not None or append is not None:
        x = torch.cat([part for part in (prepend, x, append) if part is not None], dim)
    for _ in range(n):
        x = x.narrow(dim, 1, x.shape[dim] - 1) - x.narrow(dim, 0, x.shape[dim] - 1)
    return x


def _one(value: Any) -> int:
    return int(value[0]) if isinstance(value, (list, tuple)) else int(value)


def _two(value: Any) -> tuple[int, int]:
    a, b = value if isinstance(value, (list, tuple)) else (value, value)
    return int(a), int(b)


def _resized(x: Tensor, length: int) -> Tensor:
    """The last axis cut, or filled with zeros, as transforms with an `n` do it."""
    return x if x.shape[-1] == length else functional.pad(x, (0, length - x.shape[-1]))


def _scale(length: int, norm: str | None, *, forward: bool) -> float:
    if norm == "ortho":
        return 1 / math.sqrt(length)
    return 1 / length if forward == (norm == "forward") else 1.0


def _pad_ends(x: Tensor, count: int, mode: str) -> Tensor:
    rows = x.reshape(1, -1, x.shape[-1]) if x.ndim == 1 else x.unsqueeze(0)
    padded = functional.pad(rows, (count, count), mode=mode)
    return padded.reshape(-1) if x.ndim == 1 else padded.squeeze(0)


def _window(window: Tensor | None, length: int, n_fft: int, like: Tensor) -> Tensor:
    """[n_fft], the window in the middle."""
    if window is None:
        window = like.new_ones(length)
    left = (n_fft - length) // 2
    return functional.pad(window, (left, n_fft - length - left))


def _angles(n_fft: int) -> Tensor:
    """2 pi k n / N, [n_fft // 2 + 1, n_fft], float64; exact multiples of a turn are taken out."""
    k = torch.arange(n_fft // 2 + 1, dtype=torch.int64).unsqueeze(1)
    n = torch.arange(n_fft, dtype=torch.int64)
    return (k * n % n_fft).to(torch.float64) * (2 * math.pi / n_fft)


def _basis(n_fft: int, dtype: torch.dtype) -> Tensor:
    """Cosines and negative sines, [2 * (n_fft // 2 + 1), n_fft]."""
    angles = _angles(n_fft)
    return torch.cat([angles.cos(), -angles.sin()]).to(dtype)


def _inverse_basis(n_fft: int, dtype: torch.dtype) -> Tensor:
    """What each real and imaginary part adds to the n samples of its frame."""
    angles = _angles(n_fft)
    # All frequencies but the first, and the last of an even number, stand for two.
    count = torch.full([n_fft // 2 + 1, 1], 2.0, dtype=torch.float64)
    count[0] = 1.0
    if n_fft % 2 == 0:
        count[-1] = 1.0
    return (torch.cat([angles.cos() * count, -angles.sin() * count]) / n_fft).to(dtype)


def _refuse_complex(x: Tensor, onesided: bool | None, name: str) -> None:
    if x.is_complex() or onesided is False:
        raise _unsupported(name, "complex input or onesided=False")


def _unsupported(name: str, what: str) -> CaptureError:
    return CaptureError(
        f"torch.{name} with {what} cannot be exported",
        where=f"torch.{name}",
        fix="leave it out; of spectra, use those of real signals, one-sided",
    )


INSTEAD: Mapping[Callable[..., Any], Callable[..., Any]] = {
    torch.stft: stft,
    torch.functional.stft: stft,
    Tensor.stft: stft,
    torch.istft: istft,
    Tensor.istft: istft,
    torch.fft.rfft: rfft,
    torch.fft.irfft: irfft,
    functional.unfold: unfold,
    torch._C._nn.pad_sequence: pad_sequence,
    torch.diff: diff,
    Tensor.diff: diff,
    torch.max_pool1d: max_pool1d,
    functional.max_pool1d: max_pool1d,
    torch.avg_pool1d: avg_pool1d,
    torch._C._nn.avg_pool1d
    if hasattr(torch._C._nn, "avg_pool1d")
    else torch.avg_pool1d: avg_pool1d,
}
