"""Which recurrent layers see one frame when a run has the fewest frames: found by running one.

Sizes of a stream depend on the sizes of its inputs and on nothing else, so one run tells them,
where shape inference does not get through operators of onnxruntime or sizes that are computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from rnnedge_exporters.errors import QuantizeError
from rnnedge_runtime import Model, load
from rnnedge_runtime.arrays import shape_of
from rnnedge_runtime.contract import BATCH, TIME, Contract

_ROWS = 2
"""So that an axis of the batch is not taken for one frame; 1 where the file has no batch."""


def has_one_frame(data: bytes, contract: Contract, nodes: Sequence[ir.Node]) -> set[str]:
    """Which nodes' sequences have one frame in a run of `chunk_multiple` frames; their names.

    Over another axis than time, frequency for instance, the sequence stays as long as it is.

    Args:
        data: the float file.
        contract: of the file, a stream's.
        nodes: recurrent layers of its main graph.

    Raises:
        QuantizeError: the file cannot be run.
    """
    names = {str(n.name): str(n.inputs[0].name) for n in nodes if n.inputs[0] is not None}
    if not names:
        return set()
    proto = onnx.load_model_from_string(data)
    for number, value in enumerate(names.values()):
        proto.graph.node.add(op_type="Shape", input=[value], output=[_shape(number)])
        proto.graph.output.add(name=_shape(number))
        proto.graph.output[-1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    session = open_session(proto.SerializeToString())
    shapes = _run(session, [_shape(number) for number in range(len(names))], load(data))
    return {name for name, shape in zip(names, shapes, strict=True) if shape[0] == 1}


def open_session(data: bytes) -> ort.InferenceSession:
    """One thread, on the CPU, and no warnings about what was added to the graph."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _shape(number: int) -> str:
    return f"rnnedge.quantize.shape_{number}"


def _run(session: ort.InferenceSession, names: list[str], model: Model) -> list[np.ndarray]:
    """What a run of the fewest frames gives."""
    contract = model.contract
    axes = [port.batch_axis for port in contract.inputs]
    axes += [state.batch_axis for state in contract.states]
    rows = 1 if None in axes else _ROWS
    try:
        return list(session.run(names, _feed(model, rows)))
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise QuantizeError(
            f"the float file cannot be run on zeros: {' '.join(str(error).split())}",
            where=f"a run of {contract.chunk_multiple} frames",
            fix="check the file with rnnedge run",
        ) from error


def _feed(model: Model, rows: int) -> dict[str, np.ndarray]:
    """Zeros for the fewest frames, and initial states."""
    contract = model.contract
    sizes = {BATCH: rows, TIME: contract.chunk_multiple}
    feed = {port.name: np.zeros(shape_of(port, sizes), port.dtype) for port in contract.inputs}
    first = model.initial_state(rows)
    return feed | {state.input: first[state.name] for state in contract.states}
