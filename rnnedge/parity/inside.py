"""Values inside an ONNX file, and how its graph differs from another of the same module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from rnnedge.parity.explanation import Cause
from rnnedge.parity.measure import Array
from rnnedge_runtime import Contract
from rnnedge_runtime.providers import SessionRequest, open_session
from rnnedge_runtime.states import InitialValues

_MOST = 3
"""Causes of one kind that are told."""


@dataclass(frozen=True)
class Graph:
    """An ONNX graph by names.

    Attributes:
        model: as read.
        makers: the node that makes each value.
        weights: initializers by name.
    """

    model: onnx.ModelProto
    makers: Mapping[str, onnx.NodeProto]
    weights: Mapping[str, onnx.TensorProto]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Graph:
        """Reads it."""
        makers = {name: node for node in model.graph.node for name in node.output if name}
        weights = {tensor.name: tensor for tensor in model.graph.initializer}
        return cls(model, makers, weights)

    def session(self, request: SessionRequest, values: Sequence[str]) -> Session:
        """Opens a session that gives these values, too.

        Raises:
            ModelFileError: onnxruntime refuses the graph.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        named = {output.name for output in model.graph.output}
        wanted = [name for name in values if name in self.makers and name not in named]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        opened = open_session(model.SerializeToString(), request)
        return Session(opened.session, [*named, *wanted])


class Session:
    """Runs a graph and gives inner values, by name."""

    def __init__(self, session: Any, names: Sequence[str]) -> None:
        self._session = session
        self.names = names

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One run; what the graph does not take is left out."""
        taken = {given.name for given in self._session.get_inputs()}
        results = self._session.run(
            list(self.names), {k: np.ascontiguousarray(v) for k, v in feeds.items() if k in taken}
        )
        return dict(zip(self.names, results, strict=True))


def causes(
    file: Graph, fresh: Graph, contract: Contract, expected: Contract, where: _Metadata
) -> tuple[Cause, ...]:
    """What `file` holds and a fresh export of the module does not, the most telling first.

    Args:
        file: the file's graph.
        fresh: the export's.
        contract: the file's.
        expected: the export's.
        where: the metadata of both, in that order.
    """
    found: list[Cause] = []
    kinds = (
        _weights(file, fresh),
        _initial_states(contract, expected, where),
        _contract(contract, expected),
        _nodes(file, fresh),
    )
    for kind in kinds:
        found += list(kind)[:_MOST]
    return tuple(found)


_Metadata = tuple[Mapping[str, str], Mapping[str, str]]


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """By key."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _weights(file: Graph, fresh: Graph) -> Iterator[Cause]:
    for name, theirs in fresh.weights.items():
        ours = file.weights.get(name)
        if ours is None:
            continue
        a, b = numpy_helper.to_array(ours), numpy_helper.to_array(theirs)
        if a.shape != b.shape or a.dtype != b.dtype:
            by = f"is {a.dtype}{list(a.shape)}, and the module's {b.dtype}{list(b.shape)}"
        elif not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            by = f"differs from the module's by up to {_apart(a, b):.2g}"
        else:
            continue
        text = f"initializer {name} {by}: the file was made from other weights"
        yield Cause("weight", name, _owner(name), text)


def _initial_states(contract: Contract, expected: Contract, where: _Metadata) -> Iterator[Cause]:
    ours, theirs = InitialValues(contract, where[0])(1), InitialValues(expected, where[1])(1)
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if a.shape == b.shape and not np.allclose(a, b, rtol=1e-5, atol=1e-6):
            text = (
                f"state {name} starts from other values than the module's, by up to "
                f"{_apart(a, b):.2g}"
            )
            yield Cause("initial state", name, _owner(name), text)


def _contract(contract: Contract, expected: Contract) -> Iterator[Cause]:
    for ours, theirs in zip(contract.outputs, expected.outputs, strict=False):
        for field in ("name", "shape", "ratio", "delay", "length"):
            a, b = getattr(ours, field), getattr(theirs, field)
            if a != b:
                text = f"the contract says {field} {a} of output {ours.name}; an export says {b}"
                yield Cause("contract", ours.name, "", text)
    names = [[state.name for state in side.states] for side in (contract, expected)]
    for name in sorted({*names[0]} ^ {*names[1]}):
        holder = "the file has" if name in names[0] else "an export of the module has"
        yield Cause("contract", name, _owner(name), f"only {holder} a state {name}")
    if contract.chunk_multiple != expected.chunk_multiple:
        text = (
            f"the contract says chunk_multiple {contract.chunk_multiple}; an export says "
            f"{expected.chunk_multiple}"
        )
        yield Cause("contract", "chunk_multiple", "", text)


def _nodes(file: Graph, fresh: Graph) -> Iterator[Cause]:
    ours = {node.name: node for node in file.model.graph.node}
    theirs = {node.name: node for node in fresh.model.graph.node}
    for name, node in theirs.items():
        found = ours.get(name)
        if found is None:
            yield Cause("node", name, _module(name), f"the file has no node {name}")
        elif told := _apart_nodes(found, node):
            yield Cause("node", name, _module(name), f"node {name} {told}")
    for name in ours:
        if name not in theirs:
            text = f"the file has a node {name}, which an export of the module has not"
            yield Cause("node", name, _module(name), text)


def _apart_nodes(ours: onnx.NodeProto, theirs: onnx.NodeProto) -> str:
    if ours.op_type != theirs.op_type:
        return f"is {ours.op_type}; in an export of the module it is {theirs.op_type}"
    for what, a, b in (("reads", ours.input, theirs.input), ("gives", ours.output, theirs.output)):
        for mine, expected in zip(a, b, strict=False):
            if mine != expected:
                return f"{what} {mine!r}; in an export of the module it {what} {expected!r}"
        if len(a) != len(b):
            return f"{what} {len(a)} values; in an export of the module {len(b)}"
    given = [{a.name: a.SerializeToString() for a in node.attribute} for node in (ours, theirs)]
    changed = sorted(
        k for k in given[0].keys() | given[1].keys() if given[0].get(k) != given[1].get(k)
    )
    return f"has another attribute {', '.join(changed)}" if changed else ""


def _apart(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def _owner(name: str) -> str:
    """``conv1`` of ``conv1.weight``; what no module of the user's has a name of its own for: none.

    A constant without a name has that of the node that reads it: ``encoder.gru/Slice.1``.
    """
    return _module(name) if "/" in name else name.rpartition(".")[0]


def _module(node: str) -> str:
    return node.rpartition("/")[0]
