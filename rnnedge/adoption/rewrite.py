"""Small edits of an ONNX graph that several parts of this package need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rnnedge.report.graph import bodies


def rename_values(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Renames values wherever they occur, in subgraphs too."""
    for node in graph.node:
        for names_of in (node.input, node.output):
            for index, name in enumerate(names_of):
                names_of[index] = names.get(name, name)
        for body in bodies(node):
            rename_values(body, names)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)


def rename_reads(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Makes every node, in subgraphs too, read `new` in place of `old`."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
        for body in bodies(node):
            rename_reads(body, old, new)
            for value in body.output:
                if value.name == old:
                    # A subgraph cannot give back a value from outside under that value's name.
                    body.node.append(helper.make_node("Identity", [new], [old + ".handed_on"]))
                    value.name = old + ".handed_on"


def all_names(graph: onnx.GraphProto) -> set[str]:
    """Every name of a value in the graph, subgraphs included."""
    names = {v.name for v in (*graph.input, *graph.output, *graph.value_info, *graph.initializer)}
    for node in graph.node:
        names.update(node.input, node.output)
        for body in bodies(node):
            names |= all_names(body)
    return names


def value_info(name: str, dtype: str, shape: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    """Declares a tensor by numpy's name of its type."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, list(shape))


def constant(graph: onnx.GraphProto, name: str, values: Iterable[int]) -> str:
    """Stores whole numbers under `name`; returns the name."""
    graph.initializer.append(numpy_helper.from_array(np.array(list(values), np.int64), name))
    return name


def remove_input(graph: onnx.GraphProto, name: str) -> onnx.ValueInfoProto:
    """Takes an input off the graph."""
    for index, value in enumerate(graph.input):
        if value.name == name:
            found = onnx.ValueInfoProto()
            found.CopyFrom(value)
            del graph.input[index]
            return found
    raise KeyError(name)
