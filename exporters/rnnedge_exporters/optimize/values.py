"""What passes on ONNX graphs do with values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir


def whole_numbers(graph: ir.Graph, name: str, numbers: Sequence[int]) -> ir.Value:
    """A constant list of int64 of the graph, made once for all that ask for its name."""
    known = graph.initializers.get(name)
    if known is not None:
        return known
    tensor = ir.tensor(np.array(numbers, np.int64), name=name)
    value = ir.Value(name=name, shape=ir.Shape([len(numbers)]), const_value=tensor)
    value.type = ir.TensorType(ir.DataType.INT64)
    graph.register_initializer(value)
    return value


def become(old: ir.Value, new: ir.Value) -> None:
    """Puts `new` wherever `old` was, with its name, type and notes; also as a result."""
    new.type, new.shape, new.name = old.type, old.shape, old.name
    old.name = f"{old.name}.before"
    new.metadata_props.update(old.metadata_props)
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
