"""Which recurrent layers see one frame when a run has the fewest frames."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir

from rnnedge_runtime.contract import TIME, Contract, Dim, dim_factor


def has_one_frame(model: ir.Model, contract: Contract, nodes: Sequence[ir.Node]) -> set[str]:
    """Which nodes' sequences have one frame in a run of `chunk_multiple` frames; their names.

    What shape inference cannot tell is not among them. Over another axis than time, frequency for
    instance, the sequence stays as long as it is.
    """
    proto = ir.to_proto(model)
    shapes = {port.name: port.shape for port in contract.inputs}
    shapes |= {state.input: state.shape for state in contract.states}
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        for axis, dim in enumerate(dims):
            size = _size(shapes[value.name][axis], contract.chunk_multiple)
            if size is not None:
                dim.dim_value = size
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    known = {v.name: v.type.tensor_type.shape.dim for v in inferred.graph.value_info}
    known |= {v.name: v.type.tensor_type.shape.dim for v in inferred.graph.input}
    found = set()
    for node in nodes:
        x = node.inputs[0]
        dims = known.get(str(x.name)) if x is not None else None
        if dims and dims[0].HasField("dim_value") and dims[0].dim_value == 1:
            found.add(str(node.name))
    return found


def _size(dim: Dim, frames: int) -> int | None:
    """A number where an axis is one of time; None for what the file has, numbers and batch."""
    factor = dim_factor(dim, TIME)
    return factor * frames if factor else None
