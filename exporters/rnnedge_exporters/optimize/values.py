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


def numbers_of(value: ir.Value | None) -> list[int] | None:
    """A constant's whole numbers; None for what is no constant, or has other numbers."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    is_whole = tensor is not None and tensor.dtype in (ir.DataType.INT64, ir.DataType.INT32)
    return None if tensor is None or not is_whole else [int(n) for n in tensor.numpy().reshape(-1)]


def kernel_of(convolution: ir.Node) -> np.ndarray | None:
    """A convolution's weights; None where they are computed, or its padding is."""
    value = convolution.inputs[1]
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or convolution.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return None
    return tensor.numpy()


def as_shape(sizes: Sequence[int | str]) -> ir.Shape:
    """A shape of numbers and names."""
    return ir.Shape([ir.SymbolicDim(size) if isinstance(size, str) else size for size in sizes])


def reshape(graph: ir.Graph, value: ir.Value | None, target: Sequence[int]) -> ir.Node:
    """A reshape, still to be put into the graph; what it asks for is stored once."""
    name = "shape_" + "_".join(map(str, target))
    return ir.node("Reshape", [value, whole_numbers(graph, name, target)])


def become(old: ir.Value, new: ir.Value) -> None:
    """Puts `new` wherever `old` was, with its name, type and notes; also as a result."""
    new.type, new.shape, new.name = old.type, old.shape, old.name
    old.name = f"{old.name}.before"
    new.metadata_props.update(old.metadata_props)
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
