"""Pass: two transpositions with a reshape between them become one.

A recurrent layer takes time first, and gives ``[time, directions, batch, hidden]``. PyTorch's
graph joins directions and hidden, and transposes again with ``batch_first``; where other axes are
folded into the batch, as in dual-path networks, it transposes, folds, and transposes again, and the
other way round after the layer.

Rules:
    1. Transpose, then Reshape that merges neighbouring axes, then Transpose: the axes are put in
       their last order at once, and merged there.
    2. Transpose, then what computes along the last axis only, then Reshape that splits axes, then
       Transpose: split in the first order, and transposed once.
    3. Only where nothing else reads what lies between them, where the last axis stays the last of
       what computes along it, and where the new reshape needs no size that is not known at export
       (an axis may be copied, and one may be left over).
    4. What was in another order before has no counterpart in PyTorch's graph any more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import prod

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rnnedge_exporters.optimize.values import whole_numbers

_PRODUCT = re.compile(r"[\w*]+")
_ELEMENTWISE = ("Relu", "Sigmoid", "Tanh")

Groups = list[list[int]]
"""For each axis of the coarser shape, the axes of the finer one that it is made of."""


def join_transposes(model: ir.Model) -> None:
    """Edits `model` in place."""
    for last in list(model.graph):
        reshape = _producer(last, "Transpose", "Reshape")
        if reshape is not None:
            _before_merging(reshape, last) or _after_splitting(reshape, last)
    RemoveUnusedNodesPass()(model)  # sizes that were computed for the reshapes


def _before_merging(reshape: ir.Node, last: ir.Node) -> bool:
    """Rule 1."""
    first = _producer(reshape, "Reshape", "Transpose")
    groups = _groups(_shape(reshape.inputs[0]), _shape(reshape.outputs[0]))
    if first is None or not groups or last.outputs[0].is_graph_output():
        return False
    order = [axis for coarse in _perm(last) for axis in groups[coarse]]
    fine, merged = _shape(reshape.inputs[0]), _shape(last.outputs[0])
    target = _target([fine[axis] for axis in order], merged) if merged else None
    if target is None:
        return False
    _transpose(first, [_perm(first)[axis] for axis in order])
    first.outputs[0].metadata_props.clear()
    _reshape(reshape, target)
    reshape.outputs[0].shape = last.outputs[0].shape
    reshape.outputs[0].metadata_props.update(last.outputs[0].metadata_props)
    ir.convenience.replace_all_uses_with(last.outputs[0], reshape.outputs[0])
    _remove(last)
    return True


def _after_splitting(reshape: ir.Node, last: ir.Node) -> bool:
    """Rule 2."""
    along = list(_along_last_axis(reshape))
    first = _producer(along[-1], along[-1].op_type, "Transpose")
    coarse, fine = _shape(reshape.inputs[0]), _shape(reshape.outputs[0])
    groups = _groups(fine, coarse)
    if first is None or not groups or _perm(first)[-1] != len(coarse) - 1:
        return False
    perm = _perm(first)
    back = [perm.index(axis) for axis in range(len(perm))]
    order = [axis for place in back for axis in groups[place]]
    target = _target([coarse[place] for place in back], [fine[axis] for axis in order])
    if target is None:
        return False
    along[-1].replace_input_with(0, first.inputs[0])
    for node in along[1:]:
        _set_shape(node.outputs[0], back)
    _reshape(reshape, target)
    _set_shape(reshape.outputs[0], order)
    _transpose(last, [order.index(axis) for axis in _perm(last)])
    _remove(first)
    return True


def _along_last_axis(reshape: ir.Node) -> Iterator[ir.Node]:
    """The reshape and what is before it, as long as each computes along the last axis only."""
    node: ir.Node | None = reshape
    while node is not None:
        yield node
        value = node.inputs[0]
        node = value.producer() if value is not None and _is_read_once(value) else None
        if node is not None and not _keeps_other_axes(node):
            return


def _keeps_other_axes(node: ir.Node) -> bool:
    ranks = [len(_shape(value)) for value in node.inputs[1:] if value is not None]
    if any(value is None or value.const_value is None for value in node.inputs[1:]):
        return False
    if node.op_type in _ELEMENTWISE:
        return True
    if node.op_type in ("Add", "Mul", "Sub", "Div"):
        return ranks[0] <= 1
    if node.op_type == "MatMul":
        return ranks[0] == 2
    axis = node.attributes.get_int("axis", -1)
    return node.op_type == "LayerNormalization" and axis in (-1, len(_shape(node.inputs[0])) - 1)


def _groups(fine: Sequence[str], coarse: Sequence[str]) -> Groups | None:
    """Which neighbours were merged; None when it is not certain."""
    groups: Groups = []
    rest = list(range(len(fine)))
    for size in coarse:
        group: list[int] = []
        while rest and _factors(fine[axis] for axis in group) != _factors([size]):
            group.append(rest.pop(0))
        if not group or _factors(fine[axis] for axis in group) != _factors([size]):
            return None
        groups.append(group)
    return None if rest else groups


def _factors(sizes: Iterable[str]) -> tuple[int, Counter[str]]:
    """A product of sizes such as ``21*batch``: its number, and its symbols."""
    parts = [
        part for size in sizes for part in (size.split("*") if _PRODUCT.fullmatch(size) else [size])
    ]
    numbers = [int(part) for part in parts if part.isdigit()]
    return prod(numbers), Counter(part for part in parts if not part.isdigit())


def _target(before: Sequence[str], after: Sequence[str]) -> list[int] | None:
    """What to ask of a reshape, so that it holds for all sizes; None when nothing does."""
    target = [
        int(size) if size.isdigit() else 0 if before[axis : axis + 1] == [size] else -1
        for axis, size in enumerate(after)
    ]
    return target if target.count(-1) <= 1 else None


def _producer(node: ir.Node, kind: str, wanted: str) -> ir.Node | None:
    """The node of the wanted kind that gives the first input of `node`, and that to it alone."""
    value = node.inputs[0] if node.op_type == kind and node.inputs else None
    if value is None or not _is_read_once(value) or not _shape(value):
        return None
    found = value.producer()
    return found if found is not None and found.op_type == wanted else None


def _is_read_once(value: ir.Value) -> bool:
    return not value.is_graph_output() and len(value.uses()) == 1


def _shape(value: ir.Value | None) -> list[str]:
    """Sizes as they are written; empty when one of them is unknown."""
    if value is None or value.shape is None:
        return []
    sizes = [str(size.value if isinstance(size, ir.SymbolicDim) else size) for size in value.shape]
    return [] if "None" in sizes else sizes


def _set_shape(value: ir.Value, order: Sequence[int]) -> None:
    """Axes in another order: rule 4."""
    value.metadata_props.clear()
    if value.shape is not None:
        value.shape = ir.Shape([value.shape[axis] for axis in order])


def _perm(node: ir.Node) -> list[int]:
    perm = node.attributes.get("perm")
    return list(perm.as_ints()) if perm else list(range(len(_shape(node.inputs[0]))))[::-1]


def _transpose(node: ir.Node, perm: list[int]) -> None:
    value = node.inputs[0]
    node.attributes["perm"] = ir.AttrInt64s("perm", perm)
    if value is not None and value.shape is not None:
        node.outputs[0].shape = ir.Shape([value.shape[axis] for axis in perm])


def _reshape(node: ir.Node, target: list[int]) -> None:
    """A constant target, named by what is in it."""
    node.outputs[0].metadata_props.clear()
    graph = node.graph
    assert isinstance(graph, ir.Graph)  # noqa: S101 - it is the main graph that is walked
    name = "shape_" + "_".join(map(str, target))
    node.replace_input_with(1, whole_numbers(graph, name, target))
    node.attributes.pop("allowzero", None)


def _remove(node: ir.Node) -> None:
    graph = node.graph
    assert graph is not None  # noqa: S101 - it was found in one
    graph.remove(node, safe=True)
