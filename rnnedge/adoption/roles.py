"""Where in the graph a state goes in and comes out, as far as that can be followed."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

_HANDED_ON = frozenset(
    {"Identity", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten", "Cast"}
)
"""Operators that hand on all of their first input. Slices and joins may mix two states."""
_KINDS = {"RNN": ("hidden",), "GRU": ("hidden",), "LSTM": ("hidden", "cell")}
_FIRST_INITIAL, _FIRST_FINAL = 5, 1


@dataclass(frozen=True)
class Role:
    """A state of a recurrent node: ``hidden`` or ``cell``."""

    node: str
    kind: str


def role_of_input(graph: onnx.GraphProto, name: str) -> Role | None:
    """The recurrent state that begins as this graph input; None if that is not clear."""
    while True:
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1:
            return None
        (reader,) = readers
        slot = list(reader.input).index(name)
        if reader.op_type in _KINDS:
            return _role(reader, slot - _FIRST_INITIAL)
        if reader.op_type not in _HANDED_ON or slot != 0:
            return None
        name = reader.output[0]


def role_of_output(graph: onnx.GraphProto, name: str) -> Role | None:
    """The recurrent state that ends as this graph output; None if that is not clear."""
    writers = {output: node for node in graph.node for output in node.output if output}
    while name in writers:
        writer = writers[name]
        if writer.op_type in _KINDS:
            return _role(writer, list(writer.output).index(name) - _FIRST_FINAL)
        if writer.op_type not in _HANDED_ON:
            return None
        name = writer.input[0]
    return None


def _role(node: onnx.NodeProto, index: int) -> Role | None:
    kinds = _KINDS[node.op_type]
    return Role(node.name or node.output[0], kinds[index]) if 0 <= index < len(kinds) else None
