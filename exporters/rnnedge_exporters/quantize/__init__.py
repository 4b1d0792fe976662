"""Float weights to small integers or halves: from an ONNX file with a contract to another one."""

from rnnedge_exporters.quantize.calibrate import Calibration, calibrate
from rnnedge_exporters.quantize.options import Form, Layer, QuantizeOptions
from rnnedge_exporters.quantize.products import Kind
from rnnedge_exporters.quantize.quantize import Quantized, one_frame_layers, quantize_model
from rnnedge_exporters.quantize.rounding import Range
from rnnedge_exporters.quantize.states import States

__all__ = [
    "Calibration",
    "Form",
    "Kind",
    "Layer",
    "QuantizeOptions",
    "Quantized",
    "Range",
    "States",
    "calibrate",
    "one_frame_layers",
    "quantize_model",
]
