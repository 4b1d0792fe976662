"""Pass: names that a person can read in a graph viewer.

Rules:
    1. Symbols in the shapes of inputs and outputs are called ``batch`` and ``time``.
    2. A node is named after its module and operator: ``encoder.gru/GRU``; a second one of that name
       gets ``_2``. A result inside the graph is named after its node.
       One that stands for nodes of several modules has the name of the module that holds them.
    3. A constant that has no name of the module's own is named after the first node that reads it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile

import onnx_ir as ir

_SCOPES = "pkg.torch.onnx.name_scopes"


def name_graph(model: ir.Model, shapes: Mapping[str, Sequence[int | str]]) -> None:
    """Edits `model` in place.

    Args:
        model: with the exporter's notes still in it; they tell each node's module.
        shapes: of its inputs and outputs by name, with our symbols in place of the tracer's.
    """
    graph = model.graph
    for value in (*graph.inputs, *graph.outputs):
        value.shape = ir.Shape(shapes[str(value.name)])
    fixed = {id(value) for value in (*graph.inputs, *graph.outputs)}
    seen: Counter[str] = Counter()
    for node in graph:
        node.name = _unique(f"{_module(node)}/{node.op_type}", seen)
        for index, value in enumerate(node.outputs):
            if id(value) not in fixed:
                value.name = node.name + (f":{index}" if index else "")
    for value in list(graph.initializers.values()):
        if value.name is not None and value.name.startswith("val_"):
            reader = next(iter(value.uses()), None)
            if reader is not None:
                value.name = _unique(f"{reader.node.name}.{reader.idx}", seen)


def note_common_module(node: ir.Node, replaced: Sequence[ir.Node]) -> None:
    """Tells the module of a node that stands for several: the innermost that all were traced in."""
    levels = zip(*map(_scopes, replaced), strict=False)
    common = [names[0] for names in takewhile(lambda names: len({*names}) == 1, levels)]
    node.metadata_props[_SCOPES] = repr([*common, ""])


def _scopes(node: ir.Node) -> list[str]:
    return list(ast.literal_eval(node.metadata_props.get(_SCOPES, "[]")))


def _module(node: ir.Node) -> str:
    """The path of the module that the node was traced in; empty for the root."""
    scopes = _scopes(node)
    # The last entry is the traced operator's own name.
    return str(scopes[-2]) if len(scopes) > 1 else ""


def _unique(name: str, seen: Counter[str]) -> str:
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}_{seen[name]}"
