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
    5. The end of what was joined is what was joined last, if it is as long.
    6. Sizes that depend on anything but the batch are left alone, with all that have them, and the
       graph is left as it was if it does not get fewer nodes.
    7. A choice whose condition is known is what it chooses.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as passes

from rnnedge_exporters.optimize.forms import Forms, Sizes, numbers_of
from rnnedge_exporters.optimize.unit_operators import OPERATORS

_RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_RECURRENT = ("RNN", "GRU", "LSTM")


def drop_unit_axes(model: ir.Model) -> bool:
    """Edits `model` in place; returns whether it did."""
    changed = model.clone()
    _drop(changed.graph)
    for step in (passes.RemoveUnusedNodesPass(), passes.CommonSubexpressionEliminationPass()):
        step(changed)
    print('drop', len(model.graph), len(changed.graph))
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
    if len(node.outputs) > 1 and node.attributes.get_string("direction", "forward") == "forward":
        sizes = forms.shape(node.outputs[0])
        if sizes is not None and forms.shape(node.outputs[1]) is None:
            node.outputs[1].shape = ir.Shape(
                [ir.SymbolicDim(s) if isinstance(s, str) else s for s in sizes[1:]]
            )
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
    if node.op_type == "Slice" and (last := _joined_last(node, value, after)) is not None:
        forms.same(result, last)
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


def _joined_last(node: ir.Node, value: ir.Value, after: Sizes) -> ir.Value | None:
    """Rule 5."""
    joined = value.producer()
    given = [numbers_of(source) for source in node.inputs[1:]]
    if joined is None or joined.op_type != "Concat" or any(g is None for g in given):
        return None
    first, end, axes, steps = (*given, [1])[:4] if len(given) < 4 else given
    axis = joined.attributes["axis"].as_int() % len(after)
    size = after[axis]
    if [a % len(after) for a in axes or []] != [axis] or steps != [1]:
        return None
    if not isinstance(size, int) or first != [-size] or (end or [0])[0] < 2**31:
        return None
    last = joined.inputs[-1]
    same = last is not None and last.shape is not None and last.shape[axis] == size
    return last if same else None


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
