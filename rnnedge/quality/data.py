"""What the two files are run on, where the user gives nothing."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import onnx

from rnnedge.parity.signals import Signals
from rnnedge.report.graph import all_tensors
from rnnedge_runtime import Contract

Arrays: TypeAlias = dict[str, np.ndarray]
RANDOM_FRAMES = 1000
_BOUND = 2
"""Where no table says how large an integer may be."""


def random_inputs(
    data: bytes, contract: Contract, *, seed: int = 0, rows: int = 1, frames: int = RANDOM_FRAMES
) -> Arrays:
    """Random signals of unit variance; integers below the size of the smallest table.

    Args:
        data: the file's bytes, for its tables.
        contract: of the file.
        seed: of the random numbers.
        rows: side by side.
        frames: of each, times the contract's `chunk_multiple`.
    """
    graph = onnx.load_model_from_string(data).graph
    tensors = all_tensors(graph)
    sizes = [
        tensors[node.input[0]].dims[0]
        for node in graph.node
        if node.op_type == "Gather" and node.input[0] in tensors and tensors[node.input[0]].dims
        and tensors[node.input[0]].data_type == onnx.TensorProto.FLOAT
    ]  # fmt: skip
    signals = Signals(contract, seed=seed, index_bound=min(sizes, default=_BOUND))
    return signals.inputs(rows, frames * contract.chunk_multiple)
