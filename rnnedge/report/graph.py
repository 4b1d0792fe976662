"""What an ONNX file holds, read from its graph alone: no torch, no session, no weights loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from rnnedge_runtime.contract import METADATA_KEY, Contract, read
from rnnedge_runtime.errors import ModelFileError

Tensors: TypeAlias = dict[str, onnx.TensorProto]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4, "DynamicQuantizeLSTM": 4}
"""Gates per recurrent operator; the last one is onnxruntime's (domain ``com.microsoft``)."""
_NOT_WEIGHTS = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING)
"""Element types of shapes, indices and masks, which no one trained."""


@dataclass(frozen=True)
class GraphPort:
    """One input or output as the graph declares it; None where it leaves an axis open."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True)
class RecurrentNode:
    """One recurrent operator: one layer, in one or both directions."""

    name: str
    op: str
    input_size: int
    hidden_size: int
    direction: str
    weight_bytes: int


@dataclass(frozen=True)
class Graph:
    """What the file says about itself.

    Attributes:
        opset: the version of the default ONNX operator set.
        recurrent: the recurrent operators in the order of the graph, subgraphs included.
        operators: how often each operator occurs, subgraphs included.
        parameters: elements of all weights.
        weight_bytes: their size; those in an external data file included.
    """

    opset: int
    inputs: tuple[GraphPort, ...]
    outputs: tuple[GraphPort, ...]
    recurrent: tuple[RecurrentNode, ...]
    operators: dict[str, int]
    parameters: int
    weight_bytes: int


def load_model(path: Path) -> onnx.ModelProto:
    """Reads an ONNX file, large weights in external files left where they are.

    Raises:
        ModelFileError: the file is missing, truncated, or not ONNX.
    """
    if not path.is_file():
        raise ModelFileError("there is no such file", where=str(path), fix="check the path")
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise _not_onnx(path) from error
    if not model.graph.node:
        # An empty or a cut file can still be a valid protocol buffer: one with nothing in it.
        raise _not_onnx(path)
    inlined: onnx.ModelProto = onnx.inliner.inline_local_functions(model)
    return inlined


def read_in_one_piece(path: Path) -> bytes:
    """A model file that can be opened, with the weights inside that may lie beside it."""
    data = path.read_bytes()
    graph = onnx.load_model_from_string(data).graph
    if not any(onnx.external_data_helper.uses_external_data(t) for t in graph.initializer):
        return data
    return bytes(onnx.load(path).SerializeToString())


def read_contract(model: onnx.ModelProto) -> Contract | None:
    """The contract in the file's metadata, if it has one.

    Raises:
        ContractError: there is one, but it is damaged or of a newer version.
    """
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return read(entry.value)
    return None


def describe(model: onnx.ModelProto) -> Graph:
    """Reads the facts from a model whose local functions are inlined."""
    tensors = all_tensors(model.graph)
    weights = [tensor for tensor in tensors.values() if is_weight(tensor)]
    nodes = list(walk(model.graph))
    return Graph(
        opset=max(
            (o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0
        ),
        inputs=tuple(_port(value) for value in model.graph.input if value.name not in tensors),
        outputs=tuple(_port(value) for value in model.graph.output),
        recurrent=tuple(_recurrent(node, tensors) for node in nodes if node.op_type in GATES),
        operators=dict(Counter(node.op_type for node in nodes).most_common()),
        parameters=sum(element_count(tensor) for tensor in weights),
        weight_bytes=sum(byte_count(tensor) for tensor in weights),
    )


def walk(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of subgraphs right after the node that owns them."""
    for node in graph.node:
        yield node
        for body in bodies(node):
            yield from walk(body)


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The subgraphs of a node such as Scan, Loop or If."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def all_tensors(graph: onnx.GraphProto) -> Tensors:
    """Every stored tensor by name: initializers and Constant nodes, subgraphs included."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            found.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
        for body in bodies(node):
            found |= all_tensors(body)
    return found


def is_weight(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor was trained, as opposed to shapes, indices and masks."""
    return tensor.data_type not in _NOT_WEIGHTS


def element_count(tensor: onnx.TensorProto) -> int:
    """Elements by the tensor's shape, so that external data need not be read."""
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def byte_count(tensor: onnx.TensorProto) -> int:
    """Bytes the tensor takes in the file and in memory; 4-bit types are packed in pairs."""
    if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4):
        return (element_count(tensor) + 1) // 2
    return element_count(tensor) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def attribute(node: onnx.NodeProto, name: str, default: object) -> object:
    """An attribute's value, text as str."""
    for candidate in node.attribute:
        if candidate.name == name:
            value: object = onnx.helper.get_attribute_value(candidate)
            return value.decode() if isinstance(value, bytes) else value
    return default


def _recurrent(node: onnx.NodeProto, tensors: Tensors) -> RecurrentNode:
    gates = GATES[node.op_type]
    weight = tensors.get(node.input[1])
    hidden = attribute(node, "hidden_size", 0)
    sizes = list(weight.dims) if weight is not None else [0, 0, 0]
    # W is [directions, gates * hidden, input]; the quantised LSTM's has the last two swapped.
    rows, columns = (sizes[2], sizes[1]) if "Quantize" in node.op_type else (sizes[1], sizes[2])
    return RecurrentNode(
        name=node.name or node.output[0],
        op=node.op_type,
        input_size=columns,
        hidden_size=hidden if isinstance(hidden, int) and hidden else rows // gates,
        direction=str(attribute(node, "direction", "forward")),
        weight_bytes=sum(byte_count(tensors[name]) for name in node.input if name in tensors),
    )


def _port(value: onnx.ValueInfoProto) -> GraphPort:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None)
        for dim in tensor.shape.dim
    )
    return GraphPort(value.name, dtype, shape)


def _not_onnx(path: Path) -> ModelFileError:
    return ModelFileError(
        "the file is not a whole ONNX model",
        where=str(path),
        fix="copy or export it again; compare its size with the original's",
    )
