"""Writes nodes into a graph, or into the body of a scan, with names that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's own operators."""


class Writer:
    """Adds nodes before one that they replace, in whatever graph that is in."""

    def __init__(self, graph: ir.Graph, before: ir.Node, name: str) -> None:
        """`graph` is the main one, for constants; `name` begins all names that are written."""
        self._graph = graph
        self._before = before
        self._name = name
        self._count = 0
        self._body: list[ir.Node] | None = None

    def body(self, name: str) -> Writer:
        """A writer of a subgraph's nodes, which `nodes` gives in the end."""
        inner = Writer(self._graph, self._before, f"{self._name}/{name}")
        inner._body = []
        return inner

    @property
    def name(self) -> str:
        """What the names of all that is written begin with."""
        return self._name

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """Of a `body`: what was written."""
        return self._body or ()

    def many(
        self,
        kind: str,
        inputs: Sequence[ir.Value | None],
        outputs: int,
        domain: str = "",
        **attributes: Any,
    ) -> Sequence[ir.Value]:
        """Adds a node with several results."""
        node = ir.node(kind, inputs, attributes, domain=domain, num_outputs=outputs)
        self._count += 1
        node.name = f"{self._name}/{kind}_{self._count}"
        for place, value in enumerate(node.outputs):
            value.name = f"{node.name}:{place}" if place else node.name
        if self._body is not None:
            self._body.append(node)
        else:
            inside = self._before.graph
            assert inside is not None  # noqa: S101 - what is replaced is in a graph
            inside.insert_before(self._before, node)
        if domain:
            self._graph.opset_imports[domain] = 1
        return node.outputs

    def one(
        self, kind: str, *inputs: ir.Value | None, domain: str = "", **attributes: Any
    ) -> ir.Value:
        """Adds a node with one result."""
        return self.many(kind, inputs, 1, domain, **attributes)[0]

    def one_of(self, kind: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        """Adds a node with one result of many inputs."""
        return self.many(kind, inputs, 1, **attributes)[0]

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Puts `new` wherever `old` was; under its name, if that is a result's."""
        if old.is_graph_output():
            if new.is_graph_output() or new.is_graph_input():
                new = self.one("Identity", new)
            name, old.name = old.name, f"{old.name}.before"
            new.name, new.type, new.shape = name, old.type, old.shape
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)

    @staticmethod
    def drop(node: ir.Node) -> None:
        """Takes a node out that nothing reads any more."""
        graph = node.graph
        assert graph is not None  # noqa: S101 - it was found in one
        graph.remove(node, safe=True)

    def split(self, value: ir.Value, sizes: Sequence[int], axis: int = -1) -> Sequence[ir.Value]:
        """Cuts along an axis; a single size gives the value itself."""
        if len(sizes) == 1:
            return [value]
        lengths = self.whole(sizes)
        return self.many("Split", [value, lengths], len(sizes), axis=axis)

    def constant(self, role: str, array: np.ndarray) -> ir.Value:
        """Stores an array under the layer's name and `role`, once."""
        return self._store(f"{self._name}.{role}", array)

    def whole(self, numbers: Sequence[int]) -> ir.Value:
        """A constant list of int64, stored once for all that ask for the same numbers."""
        name = "numbers_" + "_".join(map(str, numbers))
        return self._store(name, np.array(numbers, np.int64))

    def _store(self, name: str, array: np.ndarray) -> ir.Value:
        known = self._graph.initializers.get(name)
        if known is not None:
            return known
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), const_value=tensor)
        value.type = ir.TensorType(tensor.dtype)
        self._graph.register_initializer(value)
        return value
