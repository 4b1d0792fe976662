"""The physical limit of a step: reading the weights once.

A step of a recurrent network at batch 1 uses every weight once, so it cannot be faster than this
machine reads them. The rate is measured in the same run: matrix-vector products in float32 through
onnxruntime, one thread, buffers bound, whose matrix has as many bytes as the model's weights, so
that it lies in the same caches. What a call and its nodes cost without any weights is measured
beside it, with a matrix of a few numbers, and taken off.

A model may come out below 1: its kernels may read faster than onnxruntime's product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from rnnedge.benchmark.timings import Timings
from rnnedge.benchmark.trials import Step

READING, NOTHING = "weights read once", "the same nodes without weights"
_ENOUGH_BYTES = 1 << 20
"""Read in a call at least, a small matrix several times: else the clock is too coarse."""
_MOST_READS = 64
_TINY = 4
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Limit:
    """What reading the weights once takes.

    Attributes:
        weight_bytes: read by one call of the model.
        bytes_per_s: how fast this machine reads so many, from the caches where they fit.
    """

    weight_bytes: float
    bytes_per_s: float

    @property
    def limit_us(self) -> float:
        """No call can be much faster."""
        return self.weight_bytes / self.bytes_per_s * 1e6

    def to_dict(self) -> dict[str, Any]:
        """The numbers."""
        return {
            "weight_bytes": self.weight_bytes,
            "read_bytes_per_s": self.bytes_per_s,
            "limit_us": self.limit_us,
        }


class Reading:
    """Two steps to be timed with the model's: products that read the weights, and tiny ones."""

    def __init__(self, weight_bytes: float) -> None:
        """`weight_bytes` is what one call of the model reads."""
        self._weight_bytes = weight_bytes
        side = max(round(math.sqrt(weight_bytes / _FLOAT_BYTES)), _TINY)
        self._bytes = side * side * _FLOAT_BYTES
        self._reads = min(max(math.ceil(_ENOUGH_BYTES / self._bytes), 1), _MOST_READS)
        self.steps: dict[str, Step] = {
            READING: _chain(side, self._reads),
            NOTHING: _chain(_TINY, self._reads),
        }

    def limit(self, timings: Mapping[str, Timings]) -> Limit:
        """From the times of `steps`."""
        reading_us = max(timings[READING].p50_us - timings[NOTHING].p50_us, 1e-3)
        rate = self._bytes * self._reads / (reading_us / 1e6)
        return Limit(self._weight_bytes, rate)


def _chain(side: int, reads: int) -> Step:
    """``x W W ... W``, the matrix read so many times; W is square, [side, side]."""
    names = [f"x{index}" for index in range(reads + 1)]
    nodes = [
        helper.make_node("MatMul", [before, "W"], [after]) for before, after in pairwise(names)
    ]
    # A matrix without zeros or denormals, that keeps the vector's length about.
    weights = np.random.default_rng(0).standard_normal((side, side), np.float32) / math.sqrt(side)
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, side])
        for name in (names[0], names[-1])
    ]
    graph = helper.make_graph(
        nodes, "reading", [ends[0]], [ends[1]], [numpy_helper.from_array(weights, "W")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x = np.full((1, side), 1 / side, np.float32)
    y = np.zeros((1, side), np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input(names[0], x)
    binding.bind_output(names[-1], "cpu", 0, np.float32, y.shape, y.ctypes.data)

    def step() -> object:
        session.run_with_iobinding(binding)
        return x, y  # bound by address: they live as long as the step

    return step
