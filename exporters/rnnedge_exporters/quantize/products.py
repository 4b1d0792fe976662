"""Matrix products with stored weights, in the kinds that onnxruntime has kernels for.

Rules:
    1. ``int8``: activations become uint8 by their range in this very run,
       ``DynamicQuantizeMatMul``. The range is that of all rows and frames of the run together.
    2. ``static``: by a range that calibration saw, ``QuantizeLinear`` and ``MatMulIntegerToFloat``;
       what lies beyond it is cut off.
    3. ``weights8``, ``weights4``: integers by blocks of inputs, ``MatMulNBits``; activations enter
       as floats, and the kernel rounds them to 8 bits by block.
    4. Two products whose sum is wanted, of the input and of the state, are rounded by a common step
       per channel, and their sum is scaled once (see `rounding.shared_scales`). Where the sum is
       used inside of another product, as in a GRU, the factor is the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.quantize.rounding import (
    Range,
    channel_scale,
    shared_scales,
    to_blocks,
    to_levels,
)
from rnnedge_exporters.quantize.writer import MICROSOFT, Writer

Kind: TypeAlias = Literal["int8", "static", "weights8", "weights4", "float16"]
BITS: dict[str, int] = {"weights8": 8, "weights4": 4}
_ROUNDED_ACTIVATIONS = 4
"""``accuracy_level`` of MatMulNBits: products of 8 bits, the fastest."""


@dataclass(frozen=True)
class Style:
    """How products are written.

    Attributes:
        kind: see the rules.
        block: inputs per step of the weight-only kinds; a power of two, 16 at least.
    """

    kind: Kind
    block: int = 32


def product(
    writer: Writer,
    style: Style,
    role: str,
    x: ir.Value,
    weights: np.ndarray,
    bias: np.ndarray | None,
    seen: Range | None = None,
) -> ir.Value:
    """``x [..., inputs]`` times the transpose of ``weights [channels, inputs]``, plus the bias."""
    if style.kind in BITS:
        return _by_blocks(writer, style, role, x, weights, bias)
    scale = channel_scale(np.abs(weights).max(axis=1))
    whole = to_levels(weights, scale[:, None])
    return _by_levels(writer, role, x, whole, scale, bias, seen)


class Pair:
    """The products of a recurrent layer's input and state, whose sums are wanted.

    What `input` and `hidden` give has to go through `scaled` before it is used.
    """

    def __init__(
        self,
        style: Style,
        w: np.ndarray,
        r: np.ndarray,
        ranges: tuple[Range | None, Range | None] = (None, None),
    ) -> None:
        """`w` is ``[channels, inputs]``, `r` ``[channels, hidden]``."""
        self._style, self._w, self._r, self._ranges = style, w, r, ranges
        self._is_blocks = style.kind in BITS
        self._scale, self._ratio = shared_scales(w, r)

    def input(self, writer: Writer, x: ir.Value, bias: np.ndarray) -> ir.Value:
        """The product of the input, and the bias."""
        if self._is_blocks:
            return _by_blocks(writer, self._style, "W", x, self._w, bias)
        whole = to_levels(self._w, self._scale[:, None] * self._ratio)
        ratio = np.array(self._ratio, np.float32)
        return _by_levels(writer, "W", x, whole, ratio, bias / self._scale, self._ranges[0])

    def hidden(
        self,
        writer: Writer,
        h: ir.Value,
        bias: np.ndarray | None,
        rows: slice = slice(None),
        role: str = "R",
    ) -> ir.Value:
        """The product of the state with some rows of its weights, and the bias."""
        if self._is_blocks:
            return _by_blocks(writer, self._style, role, h, self._r[rows], bias)
        scale = self._scale[rows]
        whole = to_levels(self._r[rows], scale[:, None])
        bias = None if bias is None else bias / scale
        one = np.array(1.0, np.float32)
        return _by_levels(writer, role, h, whole, one, bias, self._ranges[1])

    def scaled(self, writer: Writer, value: ir.Value, rows: slice, role: str) -> ir.Value:
        """A sum of products of these rows, as the float that it stands for."""
        if self._is_blocks:
            return value
        return writer.one("Mul", value, writer.constant(role, self._scale[rows]))


def _by_levels(
    writer: Writer,
    role: str,
    x: ir.Value,
    whole: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray | None,
    seen: Range | None,
) -> ir.Value:
    """Rules 1 and 2, of int8 weights ``[channels, inputs]``."""
    # onnxruntime wants [inputs, channels].
    matrix = writer.constant(role, np.ascontiguousarray(whole.T))
    step = writer.constant(f"{role}.scale", scale.astype(np.float32))
    added = None if bias is None else writer.constant(f"{role}.bias", bias.astype(np.float32))
    if seen is None:
        return writer.one("DynamicQuantizeMatMul", x, matrix, step, None, added, domain=MICROSOFT)
    x_scale, x_zero = seen.scale_and_zero()
    x_step = writer.constant(f"{role}.input_scale", x_scale)
    zero = writer.constant(f"{role}.input_zero", x_zero)
    rounded = writer.one("QuantizeLinear", x, x_step, zero)
    return writer.one(
        "MatMulIntegerToFloat", rounded, matrix, x_step, step, zero, None, added, domain=MICROSOFT
    )


def _by_blocks(
    writer: Writer,
    style: Style,
    role: str,
    x: ir.Value,
    weights: np.ndarray,
    bias: np.ndarray | None,
) -> ir.Value:
    """Rule 3."""
    bits = BITS[style.kind]
    whole, scale = to_blocks(weights, bits, style.block)
    added = None if bias is None else writer.constant(f"{role}.bias", bias.astype(np.float32))
    inputs = [x, writer.constant(role, whole), writer.constant(f"{role}.scale", scale)]
    return writer.one(
        "MatMulNBits",
        *inputs,
        None,
        None,
        added,
        domain=MICROSOFT,
        K=weights.shape[1],
        N=weights.shape[0],
        bits=bits,
        block_size=style.block,
        accuracy_level=_ROUNDED_ACTIVATIONS,
    )
