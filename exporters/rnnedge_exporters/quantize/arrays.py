"""What passes ask of a node's inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.quantize.rounding import Range

Ranges = Mapping[str, Range]
"""What calibration saw, by name of value."""


def stored(value: ir.Value | None) -> np.ndarray | None:
    """The array that a value is, if it is stored in the file and not an input."""
    tensor = None if value is None or value.is_graph_input() else value.const_value
    return None if tensor is None else tensor.numpy()
