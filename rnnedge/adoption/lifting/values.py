"""Values in a graph that do not depend on the signal, computed by running their part of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.files import open_session
from rnnedge.adoption.options import Array
from rnnedge.adoption.rewrite import all_names
from rnnedge.report.graph import bodies

_READ_SIZES_ONLY = ("Shape", "Size")


class Values:
    """Looks up, or computes, what is known without a signal."""

    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        """Takes a model, which must not change while this is used."""
        self._model = model
        self._where = where
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._writers = {out: node for node in model.graph.node for out in node.output if out}
        self._inputs = {v.name: v for v in model.graph.input if v.name not in self._stored}
        self._found: dict[str, Array | None] = {}

    def constant(self, name: str) -> Array | None:
        """The value, if it is the same in every run; None otherwise."""
        if name not in self._found:
            self._found[name] = self._compute(name)
        return self._found[name]

    def depends_on_signal(self, name: str) -> str | None:
        """The graph input whose elements (not only sizes) reach this value, if any does."""
        for reached in self._ancestors(name, through_sizes=False)[1]:
            return reached
        return None

    def at(self, name: str, inputs: Mapping[str, Array]) -> Array:
        """The value in a run with these inputs."""
        fixed = self.constant(name)
        if fixed is not None:
            return fixed
        nodes, reached = self._ancestors(name, through_sizes=True)
        feed = {n: inputs[n] for n in reached}
        return self._run(name, nodes, feed)

    def _compute(self, name: str) -> Array | None:
        if name in self._stored:
            array: Array = numpy_helper.to_array(self._stored[name])
            return array
        if name not in self._writers:
            return None
        nodes, reached = self._ancestors(name, through_sizes=True)
        return None if reached else self._run(name, nodes, {})

    def _ancestors(self, name: str, *, through_sizes: bool) -> tuple[set[int], list[str]]:
        """Nodes that a value is computed by (their ids), and graph inputs that it reaches."""
        nodes: set[int] = set()
        reached: dict[str, None] = {}
        pending = [name]
        while pending:
            current = pending.pop()
            if current in self._inputs:
                reached[current] = None
                continue
            node = self._writers.get(current)
            if node is None or id(node) in nodes:
                continue
            nodes.add(id(node))
            if node.op_type not in _READ_SIZES_ONLY or through_sizes:
                pending += node.input
                for body in bodies(node):
                    pending += sorted(all_names(body))
        return nodes, list(reached)

    def _run(self, name: str, nodes: set[int], feed: Mapping[str, Array]) -> Array:
        picked = [node for node in self._model.graph.node if id(node) in nodes]
        used = {n for node in picked for n in node.input}
        for node in picked:
            for body in bodies(node):
                used |= all_names(body)
        graph = helper.make_graph(
            picked,
            "part",
            [self._inputs[n] for n in feed],
            [helper.make_empty_tensor_value_info(name)],
            [tensor for n, tensor in self._stored.items() if n in used],
        )
        part = onnx.ModelProto()
        part.CopyFrom(self._model)
        part.graph.CopyFrom(graph)
        session = open_session(part.SerializeToString(), self._where)
        try:
            return np.asarray(session.run([name], dict(feed))[0])
        except Exception as error:  # onnxruntime's exceptions share no base class
            sizes = ", ".join(f"{n} {list(array.shape)}" for n, array in feed.items())
            raise AdoptionError(
                f"{name!r} cannot be computed with {sizes or 'no input'}: "
                + " ".join(str(error).split()),
                where=f"value {name!r}, {self._where}",
                fix="a size was fixed at export: write it as a number in --axes, or export with a "
                "dynamic batch and time",
            ) from error
