"""Pass: where every run takes one frame, the contexts of convolutions are carried as one tensor.

A stream of convolutions joins each one's context with the new frame and cuts the next context off:
two nodes for each layer, which cost more than the layer's arithmetic. As one tensor, frames first,
all contexts are divided by one node and joined again by another, and a layer reads of them only the
frames that its kernel does, which are a row of a matrix product, however far apart they are.

Rules:
    1. A context of [batch, channels, frames] that is joined with one frame, read by one convolution
       and cut again, is packed; the convolution is a `Gemm` on the frames that it reads.
    2. Each part of the packed tensor has its oldest frame first, all channels of a frame together.
       What leaves is the oldest frame of each part; the new one is put at its end.
    3. The kernel's frames may be any number of frames apart (dilation). Padding, strides over more
       than the window, groups and any other reader leave a context as it is; so does a single one.
    4. States that lag by different numbers of frames are not packed together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rnnedge_exporters.optimize.forms import known_shape, new_constant, target_of
from rnnedge_exporters.optimize.values import (
    as_shape,
    become,
    kernel_of,
    numbers_of,
    reshape,
    whole_numbers,
)

FEWEST = 2


class Part(NamedTuple):
    """One context in a packed one.

    Attributes:
        state: its name.
        channels: of a frame.
        frames: that it holds.
    """

    state: str
    channels: int
    frames: int

    @property
    def size(self) -> int:
        """How many numbers of a row it has."""
        return self.channels * self.frames


class _Layer(NamedTuple):
    part: Part
    context: ir.Value
    frame: ir.Value
    after: ir.Value
    convolution: ir.Node


def pack_contexts(model: ir.Model, groups: Mapping[str, Sequence[str]]) -> dict[str, list[Part]]:
    """Edits `model` in place.

    Args:
        model: its sizes are numbers, but for the batch.
        groups: by the name of a packed state: the states that may be packed into it.

    Returns:
        The parts of each packed state, in their order.
    """
    packed = {}
    for name, states in groups.items():
        layers = [layer for state in states if (layer := _layer(model.graph, state)) is not None]
        if len(layers) >= FEWEST:
            _pack(model.graph, name, layers)
            packed[name] = [layer.part for layer in layers]
    RemoveUnusedNodesPass()(model)
    return packed


def _layer(graph: ir.Graph, state: str) -> _Layer | None:
    """Rules 1 and 3."""
    context = next(value for value in graph.inputs if value.name == state)
    sizes, uses = known_shape(context), list(context.uses())
    if sizes is None or len(sizes) != 3 or len(uses) != 1 or uses[0].node.op_type != "Concat":
        return None
    joined = uses[0].node
    if len(joined.inputs) != 2 or joined.inputs[0] is not context:
        return None
    if joined.attributes["axis"].as_int() % 3 != 2 or joined.outputs[0].is_graph_output():
        return None
    readers = {use.node.op_type: use.node for use in joined.outputs[0].uses()}
    frame = joined.inputs[1]
    frame_sizes = None if frame is None else known_shape(frame)
    if frame is None or frame_sizes is None or frame_sizes[2] != 1:
        return None
    if set(readers) != {"Conv", "Slice"} or len(joined.outputs[0].uses()) != 2:
        return None
    if not isinstance(sizes[1], int) or not isinstance(sizes[2], int):
        return None
    cut, convolution = readers["Slice"], readers["Conv"]
    if cut.outputs[0].name != f"{state}.next" or not _is_last(cut, sizes[2]):
        return None
    if not _is_window(convolution, sizes[2] + 1):
        return None
    part = Part(state, sizes[1], sizes[2])
    return _Layer(part, context, frame, cut.outputs[0], convolution)


def _is_last(cut: ir.Node, frames: int) -> bool:
    starts, ends, axes, steps = (numbers_of(value) for value in cut.inputs[1:5])
    is_end = ends is not None and ends[0] > frames
    return starts in ([-frames], [1]) and is_end and axes in ([2], [-1]) and steps == [1]


def _is_window(node: ir.Node, frames: int) -> bool:
    """Rule 3."""
    weights = kernel_of(node)
    if weights is None:
        return False
    reach = (weights.shape[2] - 1) * _dilation(node) + 1
    is_plain = node.attributes.get_int("group", 1) == 1
    return is_plain and reach == frames and not any(node.attributes.get_ints("pads", [0]))


def _dilation(node: ir.Node) -> int:
    return int(node.attributes.get_ints("dilations", [1])[0])


def _pack(graph: ir.Graph, name: str, layers: Sequence[_Layer]) -> None:
    """Rule 2."""
    batch = (known_shape(layers[0].context) or ("batch",))[0]
    whole = ir.Value(name=name, type=layers[0].context.type)
    after = ir.Value(name=f"{name}.next", type=whole.type)
    size = sum(layer.part.size for layer in layers)
    for value in (whole, after):
        value.shape = as_shape([batch, size])
    pieces = [list(_pieces(layer)) for layer in layers]
    counts = [
        length * layer.part.channels
        for layer, of in zip(layers, pieces, strict=True)
        for _, length in of
    ]
    name_of_counts = "sizes_" + "_".join(map(str, counts))
    divide = ir.node(
        "Split",
        [whole, whole_numbers(graph, name_of_counts[:80], counts)],
        {"axis": 1},
        num_outputs=len(counts),
    )
    _shaped(divide.outputs, batch, counts, whole)
    graph.insert_before(graph[0], divide)
    values = iter(divide.outputs)
    joined: list[ir.Value] = []
    for layer, of in zip(layers, pieces, strict=True):
        held = {first: next(values) for first, _ in of}
        frame = _reshaped(layer.convolution, layer.frame, (batch, layer.part.channels))
        joined += [*(value for first, value in held.items() if first > 0), frame]
        _multiply(layer, held, frame, batch)
    join = ir.node("Concat", joined, {"axis": 1}, outputs=[after])
    graph.append(join)
    for layer in layers:
        graph.outputs.remove(layer.after)
    graph.outputs.append(after)
    graph.inputs.append(whole)
    _forget(graph, layers)


def _forget(graph: ir.Graph, layers: Sequence[_Layer]) -> None:
    for layer in layers:
        cut = layer.after.producer()
        joined = layer.convolution.inputs[0]
        source = None if joined is None else joined.producer()
        for node in (cut, layer.convolution, source):
            if node is not None:
                graph.remove(node, safe=True)
        graph.inputs.remove(layer.context)


def _pieces(layer: _Layer) -> Iterator[tuple[int, int]]:
    """First frame and length of what a part is divided into: what is read, and what is between."""
    frames, dilation = layer.part.frames, _dilation(layer.convolution)
    cuts = {0, 1, frames}
    if dilation > 1:
        cuts |= {edge for tap in range(0, frames, dilation) for edge in (tap, tap + 1)}
    edges = sorted(cuts)
    yield from ((first, last - first) for first, last in pairwise(edges))


def _multiply(
    layer: _Layer, held: Mapping[int, ir.Value], frame: ir.Value, batch: int | str
) -> None:
    """Rule 1: the frames that the kernel reads, the oldest first, times its weights."""
    node, part = layer.convolution, layer.part
    graph, weights = node.graph, kernel_of(node)
    assert isinstance(graph, ir.Graph) and weights is not None  # noqa: S101, PT018 - looked at
    dilation = _dilation(node)
    read = [value for first, value in held.items() if dilation == 1 or first % dilation == 0]
    row = ir.node("Concat", [*read, frame], {"axis": 1}).outputs[0]
    matrix = weights.transpose(2, 1, 0).reshape(-1, weights.shape[0])
    _shaped([row], batch, [matrix.shape[0]], frame)
    constant = new_constant(graph, f"{node.inputs[1].name}.rows", np.ascontiguousarray(matrix))  # type: ignore[union-attr]
    product = ir.node("Gemm", [row, constant, *node.inputs[2:]])
    _shaped(product.outputs, batch, [matrix.shape[1]], frame)
    for new in (row.producer(), product):
        assert new is not None  # noqa: S101 - just made
        new.metadata_props.update(node.metadata_props)
        graph.insert_before(node, new)
    result = _reshaped(node, product.outputs[0], (batch, matrix.shape[1], 1))
    become(node.outputs[0], result)
    assert part.frames % dilation == 0  # noqa: S101 - the window is as long as the kernel reaches


def _reshaped(before: ir.Node, value: ir.Value, shape: tuple[int | str, ...]) -> ir.Value:
    graph = before.graph
    assert isinstance(graph, ir.Graph)  # noqa: S101 - of the main graph
    node = reshape(graph, value, target_of(shape))
    graph.insert_before(before, node)
    new = node.outputs[0]
    new.type = value.type
    new.shape = as_shape(shape)
    return new


def _shaped(
    values: Sequence[ir.Value], batch: int | str, sizes: Sequence[int], like: ir.Value
) -> None:
    for value, size in zip(values, sizes, strict=True):
        value.type = like.type
        value.shape = as_shape([batch, size])
