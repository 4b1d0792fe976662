"""The same numbers in several shapes, each made by one reshape at most.

What a `Reshape`, a `Squeeze`, or a transposition of axes of size 1 gives are the numbers it was
given. `Forms` knows for each value of a graph which numbers it is, computed in which shape, and
makes another shape of them only when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from rnnedge_exporters.optimize.values import as_shape, reshape

Size = int | str
Sizes = tuple[Size, ...]


Key = tuple[int | None, ...]
"""A shape without the name of the one size that is no number: it follows from the others."""


class Numbers(NamedTuple):
    """What was computed once: a value, and all shapes it has been brought into."""

    source: ir.Value
    by_shape: dict[Key, ir.Value]


class Forms:
    """All values of a graph.

    Args:
        graph: reshapes are put into it.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._numbers: dict[ir.Value, Numbers] = {}
        self._shapes: dict[ir.Value, Sizes] = {}
        for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
            self._note(value)
        for node in graph:
            for value in node.outputs:
                self._note(value)

    def _note(self, value: ir.Value) -> None:
        sizes = known_shape(value)
        if sizes is not None:
            self._shapes[value] = sizes

    def shape(self, value: ir.Value | None) -> Sizes | None:
        """As it was before the pass; None where a size is unknown."""
        return None if value is None else self._shapes.get(value)

    def of(self, value: ir.Value) -> Numbers:
        """Which numbers a value is."""
        if value not in self._numbers:
            self._numbers[value] = Numbers(value, {_key(self._shapes.get(value, ("?",))): value})
        return self._numbers[value]

    def same(self, value: ir.Value, as_value: ir.Value) -> None:
        """`value` has the numbers that `as_value` has."""
        self._numbers[value] = self.of(as_value)

    def computed(self, value: ir.Value, source: ir.Value, shape: Sequence[Size]) -> None:
        """`value` is computed as `source`, in that shape."""
        source.shape = as_shape(shape)
        source.type = value.type
        self._shapes[source] = tuple(shape)
        self._numbers[value] = Numbers(source, {_key(shape): source})
        self._numbers[source] = self._numbers[value]

    def is_computed(self, value: ir.Value) -> bool:
        """Whether something stands in its place already."""
        return value in self._numbers

    def form(self, value: ir.Value, shape: Sequence[Size], before: ir.Node | None) -> ir.Value:
        """The value in that shape, reshaped in front of the node `before` where it has to be.

        A constant gets a constant of that shape.
        """
        wanted, numbers, key = tuple(shape), self.of(value), _key(shape)
        if key not in numbers.by_shape:
            source = numbers.source
            made = _constant(self.graph, source, wanted)
            if made is None:
                node = reshape(self.graph, source, target_of(wanted))
                made = node.outputs[0]
                self._place(node, before)
            made.type = source.type
            made.shape = as_shape(wanted)
            self._shapes[made] = wanted
            numbers.by_shape[key] = made
            self._numbers[made] = numbers
        return numbers.by_shape[key]

    def missing(self, value: ir.Value, shape: Sequence[Size]) -> bool:
        """Whether a reshape would be needed."""
        numbers = self.of(value)
        is_constant = ir.convenience.get_const_tensor(numbers.source) is not None
        return not is_constant and _key(shape) not in numbers.by_shape

    def _place(self, node: ir.Node, before: ir.Node | None) -> None:
        if before is None:
            self.graph.append(node)
        else:
            self.graph.insert_before(before, node)

    def full(self, value: ir.Value, before: ir.Node | None) -> ir.Value:
        """The value as it was before the pass."""
        shape = self.shape(value)
        return value if shape is None else self.form(value, shape, before)


def _key(shape: Sequence[Size]) -> Key:
    return tuple(None if isinstance(size, str) else size for size in shape)


def known_shape(value: ir.Value) -> Sizes | None:
    """Sizes, at most one of them not a number, and that a symbol or a product; None otherwise."""
    if value.shape is None:
        return None
    sizes = tuple(
        str(size.value) if isinstance(size, ir.SymbolicDim) else size for size in value.shape
    )
    unknown = [size for size in sizes if isinstance(size, str)]
    return None if len(unknown) > 1 or unknown == ["None"] else sizes


def target_of(shape: Sizes) -> list[int]:
    """What to ask of a reshape."""
    return [-1 if isinstance(size, str) else size for size in shape]


def _constant(graph: ir.Graph, source: ir.Value, shape: Sizes) -> ir.Value | None:
    tensor = ir.convenience.get_const_tensor(source)
    if tensor is None:
        return None
    array = tensor.numpy().reshape([int(size) for size in shape])
    return new_constant(graph, f"{source.name}.{'_'.join(map(str, shape))}", array)


def new_constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """A constant of the graph, under that name or one like it."""
    while name in graph.initializers:
        name += "_"
    array = np.ascontiguousarray(array)
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    graph.register_initializer(value)
    return value
