"""Which node of the streaming program each value of the ONNX graph is.

Tracing again and the exporter's decompositions give nodes new names; a note that they carry along
survives both. The exporter names a value after the node that it is.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir
from torch.fx import Graph, Node

_MARK = "rnnedge.node"


@dataclass(frozen=True)
class Origin:
    """What a value of the ONNX graph is.

    Attributes:
        node: the name of the streaming program's node.
        index: of its results, where it gives several.
    """

    node: str
    index: int | None = None


def mark_nodes(graph: Graph) -> None:
    """Notes each node's name in it, where tracing carries it along."""
    for node in graph.nodes:
        node.meta["custom"] = {**node.meta.get("custom", {}), _MARK: node.name}


def mark_values(model: ir.Model, lowered: Graph) -> None:
    """Notes its origin in each value that is what a node of the streaming program gives.

    Args:
        model: as the exporter made it, its values named after nodes of `lowered`.
        lowered: the program that it was made from; traced from marked nodes.
    """
    last: dict[tuple[str, int | None], str] = {}
    for node in lowered.nodes:
        if mark := node.meta.get("custom", {}).get(_MARK):
            # An operator may have become several; the last of them gives its value.
            last[mark, _index(node)] = node.name
    origins = {name: f"{mark}:{'' if i is None else i}" for (mark, i), name in last.items()}
    for onnx_node in model.graph:
        for value in onnx_node.outputs:
            if value.name in origins:
                value.metadata_props[_MARK] = origins[value.name]


def read_origins(model: ir.Model) -> Mapping[str, Origin]:
    """The origins of marked values, by the names that these have now."""
    found = {}
    for node in model.graph:
        for value in node.outputs:
            if value.name is not None and (mark := value.metadata_props.get(_MARK)):
                name, _, index = mark.rpartition(":")
                found[value.name] = Origin(name, int(index) if index else None)
    return found


def _index(node: Node) -> int | None:
    index = node.args[1] if node.target is operator.getitem else None
    return index if isinstance(index, int) else None
