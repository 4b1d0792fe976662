"""Pass: convolutions with integer weights.

Rules:
    1. ``int8``: the input becomes uint8 by its range in this run, ``ConvInteger``, and the sums
       become float by a step per channel.
    2. ``static``: by calibrated ranges of input and output, ``QLinearConv``, the faster of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.nodes import input_at
from rnnedge_exporters.quantize.arrays import stored
from rnnedge_exporters.quantize.rounding import Range, channel_scale, to_levels
from rnnedge_exporters.quantize.writer import Writer

if TYPE_CHECKING:
    from rnnedge_exporters.quantize.options import QuantizeOptions

_ATTRIBUTES = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def unfit(node: ir.Node, options: QuantizeOptions) -> str:
    """Why a convolution computes in float; empty if it need not."""
    bias = input_at(node, 2)
    if bias is not None and stored(bias) is None:
        return "its bias is not stored in the file"
    if options.kind == "static" and _ranges(node, options) is None:
        return "calibration did not see it"
    return ""


def to_integers(graph: ir.Graph, node: ir.Node, options: QuantizeOptions) -> None:
    """Replaces a convolution that is not `unfit`."""
    x, weights = node.inputs[0], stored(node.inputs[1])
    assert x is not None  # noqa: S101 - the operator's schema says so
    assert weights is not None  # noqa: S101 - it was planned so
    writer = Writer(graph, node, str(node.name))
    scale = channel_scale(np.abs(weights).reshape(len(weights), -1).max(axis=1))
    shape = (-1, *(1,) * (weights.ndim - 1))
    whole = writer.constant("weight", to_levels(weights, scale.reshape(shape)))
    bias = stored(input_at(node, 2))
    attributes: dict[str, Any] = {
        name: node.attributes[name].value for name in _ATTRIBUTES if name in node.attributes
    }
    ranges = _ranges(node, options) if options.kind == "static" else None
    if ranges is None:
        rounded, step, zero = writer.many("DynamicQuantizeLinear", [x], 3)
        sums = writer.one("ConvInteger", rounded, whole, zero, **attributes)
        y = writer.one("Cast", sums, to=ir.DataType.FLOAT)
        by_channel = (1, -1, *(1,) * (weights.ndim - 2))
        steps = writer.constant("weight.scale", scale.reshape(by_channel))
        y = writer.one("Mul", y, writer.one("Mul", step, steps))
        if bias is not None:
            y = writer.one("Add", y, writer.constant("bias", bias.reshape(by_channel)))
    else:
        y = _by_ranges(writer, x, whole, scale, bias, ranges, attributes)
    writer.replace(node.outputs[0], y)
    writer.drop(node)


def _by_ranges(
    writer: Writer,
    x: ir.Value,
    whole: ir.Value,
    scale: np.ndarray,
    bias: np.ndarray | None,
    ranges: tuple[Range, Range],
    attributes: dict[str, Any],
) -> ir.Value:
    """Rule 2; the bias is int32 with the step of the sums."""
    (x_scale, x_zero), (y_scale, y_zero) = (seen.scale_and_zero() for seen in ranges)
    x_step, x_point = writer.constant("x_scale", x_scale), writer.constant("x_zero", x_zero)
    y_step, y_point = writer.constant("y_scale", y_scale), writer.constant("y_zero", y_zero)
    inputs = [
        writer.one("QuantizeLinear", x, x_step, x_point),
        x_step,
        x_point,
        whole,
        writer.constant("weight.scale", scale),
        writer.constant("weight.zero", np.zeros(len(scale), np.int8)),
        y_step,
        y_point,
    ]
    if bias is not None:
        limits = np.iinfo(np.int32)
        sums = np.clip(np.rint(bias / (scale * x_scale)), limits.min, limits.max)
        inputs.append(writer.constant("bias", sums.astype(np.int32)))
    y = writer.one("QLinearConv", *inputs, **attributes)
    return writer.one("DequantizeLinear", y, y_step, y_point)


def _ranges(node: ir.Node, options: QuantizeOptions) -> tuple[Range, Range] | None:
    seen = [options.ranges.get(str(v.name)) for v in (node.inputs[0], node.outputs[0]) if v]
    return None if None in seen or len(seen) != 2 else (seen[0], seen[1])  # type: ignore[return-value]
