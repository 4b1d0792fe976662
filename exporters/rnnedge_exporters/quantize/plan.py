"""What is to become of each layer.

Rules:
    1. A layer whose weights are not stored in the file, or are few, or that the user wants to keep,
       stays in float. One that is to be eased is stored in int8 and computed in float.
    2. A layer computes in fewer bits where that is faster. In small ones it is not: quantising the
       activations costs more than the product saves. Those, and layers that no pass can write in
       products, are stored in int8 and computed in float. `_WORTH` says from how many weights on,
       as measured at one frame, one row (`benchmarks/quantized.py`).
    3. A recurrent layer whose sequence is longer than one frame in the shortest run (over
       frequency, or in a file for whole sequences) would need a ``Scan``, which is slower than
       onnxruntime's float operators but for large layers. It is written so only if form ``chunks``
       asks for it. LSTM has an operator of its own for any number of frames.
    4. Convolutions compute in integers if calibration saw them. Without it, ``ConvInteger`` is
       slower than the float operator (1.4 to 1.7 times in the examples); they are stored, unless
       `integer_convolutions` asks for it.
    5. Tables are stored by row; what is looked up is made float.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

import onnx_ir as ir

from rnnedge_exporters.quantize import convolution, embedding, linear, lstm, recurrent
from rnnedge_exporters.quantize.arrays import stored
from rnnedge_exporters.quantize.options import QuantizeOptions
from rnnedge_exporters.quantize.products import BITS

Way: TypeAlias = Literal["float", "stored", "products", "operator", "convolution", "rows", "half"]

RECURRENT = ("RNN", "GRU", "LSTM")
LINEAR = ("MatMul", "Gemm")
LOOKUP = ("Gather",)
CONVOLUTION = ("Conv", "ConvTranspose")

_WORTH = {
    "RNN": 40_000,
    "GRU": 120_000,
    "LSTM": 40_000,
    "MatMul": 12_000,
    "Gemm": 12_000,
    "Conv": 12_000,
}


@dataclass(frozen=True)
class Plan:
    """What becomes of a layer.

    Attributes:
        way: how it is written.
        why: the reason, where it is not what was asked for; else empty.
        is_step: a recurrent layer's step stands in the graph itself.
    """

    way: Way
    why: str = ""
    is_step: bool = False


def is_layer(node: ir.Node) -> bool:
    """Whether a node may have weights: a product of two activations is no layer."""
    if node.domain:
        return False
    if node.op_type in LINEAR:
        return stored(node.inputs[1]) is not None
    if node.op_type in LOOKUP:
        return not embedding.unfit(node)
    return node.op_type in (*RECURRENT, *CONVOLUTION)


def weight_count(node: ir.Node) -> int:
    """How many numbers of a layer are stored in the file."""
    arrays = [stored(value) for value in node.inputs]
    return sum(array.size for array in arrays if array is not None and array.dtype.kind == "f")


def plan_for(node: ir.Node, options: QuantizeOptions, one_frame: Collection[str]) -> Plan:
    """Decides.

    Args:
        node: is a layer.
        options: what is asked for.
        one_frame: names of the recurrent layers that see one frame in the shortest run.
    """
    kept = _kept(node, options)
    if kept:
        return Plan("float", kept)
    if options.kind == "float16":
        return Plan("half")
    if node.op_type in LOOKUP:
        return Plan("rows")
    if node.name in options.ease:
        return Plan("stored", options.ease[str(node.name)])
    if node.op_type in CONVOLUTION and (reason := _computes_in_float(node, options)):
        return Plan("stored", reason)
    worth = options.compute_from
    if worth is None:
        worth = 0 if options.kind == "weights4" else _WORTH[node.op_type]
    if weight_count(node) < worth:
        return Plan("stored", f"faster so below {worth:,} weights")
    if node.op_type in CONVOLUTION:
        return _unless(convolution.unfit(node, options), "convolution")
    if node.op_type in LINEAR:
        return _unless(linear.unfit(node), "products")
    return _recurrent(node, options, is_one_frame=node.name in one_frame)


def _kept(node: ir.Node, options: QuantizeOptions) -> str:
    """Rule 1: why a layer stays in float; empty if it need not."""
    name, count = str(node.name), weight_count(node)
    places = (1, 2) if node.op_type in RECURRENT else (1,)
    if name in options.keep:
        return options.keep[name]
    if options.only is not None and name not in options.only:
        return "not among those asked for"
    if node.op_type not in LOOKUP and any(stored(node.inputs[place]) is None for place in places):
        return "its weights are not stored in the file"
    return f"it has {count} weights, fewer than {options.least}" if count < options.least else ""


def _computes_in_float(node: ir.Node, options: QuantizeOptions) -> str:
    """Rule 4: why a convolution of this kind computes in float; empty if it need not."""
    if options.kind in BITS or node.op_type == "ConvTranspose":
        return "there is no such kernel"
    is_slower = options.kind == "int8" and not options.integer_convolutions
    return "faster so without calibration" if is_slower else ""


def _recurrent(node: ir.Node, options: QuantizeOptions, *, is_one_frame: bool) -> Plan:
    is_step = is_one_frame and options.form != "chunks"
    # The operator knows no calibration, so a static step comes first where it can be.
    wants_operator = options.kind == "int8" or not is_step or bool(recurrent.unfit(node))
    has_operator = node.op_type == "LSTM" and options.kind not in BITS and options.form != "step"
    if has_operator and wants_operator:
        return _unless(lstm.unfit(node), "operator")
    if not is_step and options.form != "chunks":
        return Plan("stored", "its sequence is longer than a frame")
    reason = recurrent.unfit(node)
    return Plan("stored", reason) if reason else Plan("products", is_step=is_step)


def _unless(reason: str, way: Way) -> Plan:
    return Plan("stored", reason) if reason else Plan(way)
