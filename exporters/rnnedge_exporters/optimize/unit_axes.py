"""Pass: where every run takes one frame, axes of size 1 are gone, and so is what moves them.

With one frame in each run the axis of time has size 1, and a tensor [1, batch, features] holds what
[batch, 1, features] and [batch, features] hold. At that size a node costs about a microsecond
whatever it does, so that the nodes that only rename axes cost as much as the arithmetic.

Rules:
    1. What only gives the same numbers another shape is no node: `Reshape`, `Squeeze`, `Unsqueeze`,
       a `Transpose` that keeps the order of the axes whose size is not 1, and an `Expand`, `Slice`
       or `Gather` that takes everything.
    2. Operators run on tensors without axes of size 1 (`unit_operators.py` says which, and how).
    3. An operator that is not known there gets the shape that it had; one `Reshape` makes it,
       however many nodes there were before.
    4. A layer's output of a single frame is its state after that frame.
    5. The end of what was joined is what was joined last, if it is as long; and one of the things
       that were joined is that thing.
    6. Sizes that depend on anything but the batch are left alone, with all that have them, and the
       graph is left as it was if it does not get fewer nodes.
    7. A choice whose condition is known is what it chooses.
    8. A whole number to which zero is added stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import onnx_ir as ir
import onnx_ir.passes.common as passes

from rnnedge_exporters.optimize.forms import Forms, Sizes
from rnnedge_exporters.optimize.unit_operators import OPERATORS
from rnnedge_exporters.optimize.values import as_shape, numbers_of

_RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_RECURRENT = ("RNN", "GRU", "LSTM")


def drop_unit_axes(model: ir.Model) -> bool:
    """Edits `model` in place; returns whether it did."""
    changed = model.clone()
    _drop(changed.graph)
    for step in (passes.RemoveUnusedNodesPass(), passes.CommonSubexpressionEliminationPass()):
        step(changed)
    if len(changed.graph) >= len(model.graph):
        return False
    model.graph = changed.graph
    return True


def _drop(graph: ir.Graph) -> None:
    forms = Forms(graph)
    outputs = [(value, value.name) for value in graph.outputs]
    for node in list(graph):
        if all(forms.is_computed(value) for value in node.outputs):
            continue
        if not _is_known(node, forms):
            _leave(node, forms)
        elif not _renames(node, forms):
            rule = OPERATORS.get(node.op_type) if not node.domain else None
            if rule is None or not rule(node, forms):
                _leave(node, forms)
    for place, (value, name) in enumerate(outputs):
        graph.outputs[place] = _result(graph, forms, value, name)


def _is_known(node: ir.Node, forms: Forms) -> bool:
    """Rule 6."""
    values = [value for value in (*node.inputs, *node.outputs) if value is not None]
    return all(forms.shape(value) is not None for value in values if value.name != "")


def _leave(node: ir.Node, forms: Forms) -> None:
    """Rule 3."""
    for place, value in enumerate(node.inputs):
        if value is not None:
            node.replace_input_with(place, forms.full(value, node))
    frames = forms.shape(node.inputs[0]) if node.inputs else None
    if node.op_type in _RECURRENT and frames and frames[0] == 1:
        _last_is_all(node, forms)


def _last_is_all(node: ir.Node, forms: Forms) -> None:
    """Rule 4."""
    if len(node.outputs) > 1:
        sizes = forms.shape(node.outputs[0])
        if sizes is not None and forms.shape(node.outputs[1]) is None:
            node.outputs[1].shape = as_shape(sizes[1:])
            node.outputs[1].type = node.outputs[0].type
            forms.computed(node.outputs[1], node.outputs[1], sizes[1:])
        forms.same(node.outputs[0], node.outputs[1])


def _renames(node: ir.Node, forms: Forms) -> bool:
    """Rules 1 and 5."""
    if not node.inputs or len(node.outputs) != 1 or node.domain:
        return False
    value, result = node.inputs[0], node.outputs[0]
    before, after = forms.shape(value), forms.shape(result)
    if value is None or before is None or after is None:
        return False
    if (chosen := _decided(node, forms)) is not None and forms.shape(chosen) == after:
        forms.same(result, chosen)
        return True
    if node.op_type in _RESHAPES or _only_renames(node, before, after):
        forms.same(result, value)
        return True
    for rule in (_joined_last, _joined_part, _nothing_added):
        if (known := rule(node, forms)) is not None:
            forms.same(result, known)
            return True
    return False


def _only_renames(node: ir.Node, before: Sizes, after: Sizes) -> bool:
    if node.op_type == "Transpose":
        perm = node.attributes["perm"].as_ints() if "perm" in node.attributes else ()
        kept = [axis for axis in perm if before[axis] != 1]
        return bool(perm) and kept == sorted(kept)
    if node.op_type == "Slice":
        steps = numbers_of(node.inputs[4]) if len(node.inputs) > 4 else [1]
        return before == after and steps is not None and min(steps) > 0
    if node.op_type == "Gather":
        taken = node.attributes.get_int("axis", 0) % len(before)
        index = numbers_of(node.inputs[1])
        size = before[taken]
        return isinstance(size, int) and index in (list(range(size)), [-1] * (size == 1))
    return node.op_type == "Expand" and before == after


def _decided(node: ir.Node, forms: Forms) -> ir.Value | None:
    """What a choice gives whose condition is a constant; rule 7."""
    known = [_truth(value) for value in node.inputs]
    if node.op_type == "Where" and known[0] is not None:
        return node.inputs[1 if known[0] else 2]
    for place, truth in enumerate(known):
        if truth is not None and (node.op_type, truth) in (("Or", False), ("And", True)):
            return node.inputs[1 - place]
    return None


def _truth(value: ir.Value | None) -> bool | None:
    """Of a constant that is true everywhere, or nowhere."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.dtype != ir.DataType.BOOL:
        return None
    array = tensor.numpy()
    return True if array.all() else None if array.any() else False


class _Joined(NamedTuple):
    """What was joined: the parts, how long each is, and along which axis of the whole."""

    parts: Sequence[ir.Value | None]
    lengths: Sequence[int]
    axis: int


def _joined(value: ir.Value | None, forms: Forms) -> _Joined | None:
    """How a value was joined, if it was, whatever shapes it has had since."""
    shape = forms.shape(value)
    if value is None or shape is None:
        return None
    source = forms.of(value).source
    joined, sizes = source.producer(), forms.shape(source)
    if joined is None or joined.op_type != "Concat" or sizes is None:
        return None
    along = joined.attributes["axis"].as_int() % len(sizes)
    places = [axis for axis, size in enumerate(sizes) if size != 1]
    if along not in places:
        return None
    axis = [at for at, size in enumerate(shape) if size != 1][places.index(along)]
    lengths = [(forms.shape(part) or {along: "?"})[along] for part in joined.inputs]
    if any(isinstance(length, str) for length in lengths):
        return None
    return _Joined(joined.inputs, [int(length) for length in lengths], axis)


def _joined_last(node: ir.Node, forms: Forms) -> ir.Value | None:
    """Rule 5, of a `Slice`."""
    found = _joined(node.inputs[0], forms) if node.op_type == "Slice" else None
    after = forms.shape(node.outputs[0])
    if found is None or after is None or len(node.inputs) < 4:
        return None
    first, end, axes = (numbers_of(source) for source in node.inputs[1:4])
    steps = numbers_of(node.inputs[4]) if len(node.inputs) > 4 else [1]
    if not axes or steps != [1] or not end or end[0] < 2**31:
        return None
    is_along = [axis % len(after) for axis in axes] == [found.axis]
    return found.parts[-1] if is_along and first == [-found.lengths[-1]] else None


def _joined_part(node: ir.Node, forms: Forms) -> ir.Value | None:
    """Rule 5, of a `Gather` of one of what was joined."""
    found = _joined(node.inputs[0], forms) if node.op_type == "Gather" else None
    index, before = numbers_of(node.inputs[1]) if found else None, forms.shape(node.inputs[0])
    if found is None or before is None or index is None or len(index) != 1:
        return None
    if node.attributes.get_int("axis", 0) % len(before) != found.axis:
        return None
    wanted = index[0] % sum(found.lengths)
    starts = list(accumulate(found.lengths, initial=0))
    if wanted not in starts or found.lengths[starts.index(wanted)] != 1:
        return None
    return found.parts[starts.index(wanted)]


def _nothing_added(node: ir.Node, forms: Forms) -> ir.Value | None:
    """Rule 8."""
    if node.op_type not in ("Add", "Sub"):
        return None
    value, zero = node.inputs
    if node.op_type == "Add" and not any(numbers_of(zero) or [1]):
        pass
    elif node.op_type == "Add" and not any(numbers_of(value) or [1]):
        value, zero = zero, value
    elif node.op_type == "Sub" and not any(numbers_of(zero) or [1]):
        pass
    else:
        return None
    is_whole = value is not None and value.dtype in (ir.DataType.INT64, ir.DataType.INT32)
    same = forms.shape(value) == forms.shape(node.outputs[0])
    return value if is_whole and same else None


def _result(graph: ir.Graph, forms: Forms, value: ir.Value, name: str | None) -> ir.Value:
    """The value that is given out, in its shape and under its name."""
    made = forms.full(value, None)
    if made is value:
        return value
    if made.producer() is None or made.is_graph_output():
        node = ir.node("Identity", [made])
        graph.append(node)
        node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
        made = node.outputs[0]
    if value.name is not None:
        value.name = f"{value.name}.before"
    made.name = name
    made.metadata_props.clear()
    made.metadata_props.update(value.metadata_props)
    return made
