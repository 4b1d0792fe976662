"""Pass: small recurrent layers side by side, each on a part of the features, become one layer.

Grouped recurrent networks cut the features into parts, give each part to a layer of its own, and
join what these give. For small layers what a node costs, and each of its steps, is more than what
it multiplies.

Rules:
    1. The layers read all parts of one ``Split`` along the features, transposed alike. They are of
       one kind, with the same attributes, stored weights, and no lengths by row; their
       initial states are inputs or constants of the graph, or missing in all.
    2. One layer reads what was split. Zeros in its weights keep the parts apart, which is exact:
       they add nothing to numbers that are finite. (Infinity in one part makes NaN of all.)
    3. The zeros are multiplied, too. So all units together are 32 at most: two layers of 16 units
       were 1.1 to 1.3 times as fast together as apart, four of 8 units 1.1 to 1.8 times; beyond,
       most were slower.
    4. States keep their names and shapes: they are joined before the layer and split after it.
    5. Where the parts are joined again in their order, the join is gone: with one direction, the
       layer gives what was joined; with two, its directions are put inside of the parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rnnedge_exporters.nodes import GATES, input_at
from rnnedge_exporters.optimize.forms import Sizes, known_shape, new_constant
from rnnedge_exporters.optimize.names import note_common_module
from rnnedge_exporters.optimize.recurrent_groups import (
    BIAS,
    RECURRENCE,
    WEIGHTS,
    Group,
    attributes_of,
    group_of,
    only_use,
    perm_of,
    states_of,
)
from rnnedge_exporters.optimize.values import as_shape, become, numbers_of, reshape, whole_numbers


def group_recurrent(model: ir.Model) -> int:
    """Edits `model` in place; returns how many groups there were."""
    groups = [group for node in model.graph if (group := group_of(node)) is not None]
    for group in groups:
        _become_one(model.graph, group)
    if groups:
        RemoveUnusedNodesPass()(model)
    return len(groups)


def _become_one(graph: ir.Graph, group: Group) -> None:
    first, units = group.first, group.count * group.units
    x, shape = group.split.inputs[0], group.shape
    if group.perm is not None:
        shape = tuple(shape[axis] for axis in group.perm)
        x = _add(graph, group, "Transpose", [x], shape, perm=list(group.perm))
    frames, rows, _ = shape
    states = [
        None
        if parts[0] is None
        else _add(graph, group, "Concat", parts, (group.directions, rows, units), axis=2)
        for parts in zip(*map(states_of, group.layers), strict=True)
    ]
    attributes = {**first.attributes, "hidden_size": ir.AttrInt64("hidden_size", units)}
    inputs = [x, *_weights(graph, group), None, *states]
    outputs = max(len(node.outputs) for node in group.layers)
    layer = ir.node(first.op_type, inputs, attributes, num_outputs=outputs)
    note_common_module(layer, group.layers)
    graph.insert_before(first, layer)
    y, *ends = layer.outputs
    for value in layer.outputs:
        value.type = None if x is None else x.type
    y.shape = as_shape((frames, group.directions, rows, units))
    for place, end in enumerate(ends, 1):
        end.shape = as_shape((group.directions, rows, units))
        _give_parts(graph, group, end, place)
    if not _give_joined(graph, group, y):
        _give_parts(graph, group, y, 0)


def _add(
    graph: ir.Graph,
    group: Group,
    kind: str,
    inputs: Sequence[ir.Value | None],
    shape: Sizes | None,
    **attributes: object,
) -> ir.Value:
    """A new node's result, in front of the layers."""
    return _placed(graph, group, ir.node(kind, inputs, attributes), shape)  # type: ignore[arg-type]


def _placed(graph: ir.Graph, group: Group, node: ir.Node, shape: Sizes | None) -> ir.Value:
    graph.insert_before(group.first, node)
    value, given = node.outputs[0], node.inputs[0]
    value.type = None if given is None else given.type
    value.shape = None if shape is None else as_shape(shape)
    return value


def _weights(graph: ir.Graph, group: Group) -> Iterator[ir.Value | None]:
    """Rule 2: ``W [directions, gates * units, features]``, ``R``, and ``B`` where there is one."""
    gates = GATES[group.first.op_type]
    for place in (WEIGHTS, RECURRENCE):
        values = [input_at(node, place) for node in group.layers]
        whole = _side_by_side([_array(value) for value in values], gates)
        yield new_constant(graph, _grouped(values[0]), whole)
    biases = [input_at(node, BIAS) for node in group.layers]
    known = [bias for bias in biases if bias is not None]
    if not known:
        yield None
        return
    shape = (group.directions, 2 * gates, group.units)
    none = np.zeros(shape, _array(known[0]).dtype)
    rows = [none if bias is None else _array(bias).reshape(shape) for bias in biases]
    joined = np.concatenate(rows, axis=-1).reshape(group.directions, -1)
    yield new_constant(graph, _grouped(known[0]), joined)


def _grouped(value: ir.Value | None) -> str:
    return f"{'' if value is None else value.name}.grouped"


def _array(value: ir.Value | None) -> np.ndarray:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    assert tensor is not None  # noqa: S101 - the layers were chosen so
    return tensor.numpy()


def _side_by_side(parts: Sequence[np.ndarray], gates: int) -> np.ndarray:
    """``[directions, gates * units, inputs]`` each; in each gate, the parts on the diagonal."""
    directions, rows, _ = parts[0].shape
    units, inputs = rows // gates, [part.shape[-1] for part in parts]
    whole = np.zeros((directions, gates, len(parts), units, sum(inputs)), parts[0].dtype)
    for number, part in enumerate(parts):
        begin = sum(inputs[:number])
        columns = slice(begin, begin + inputs[number])
        whole[:, :, number, :, columns] = part.reshape(directions, gates, units, -1)
    return whole.reshape(directions, -1, sum(inputs))


def _give_parts(graph: ir.Graph, group: Group, whole: ir.Value, place: int) -> None:
    """Rule 4, and the layers' outputs where rule 5 does not hold."""
    old = [node.outputs[place] if place < len(node.outputs) else None for node in group.layers]
    read = [value is not None and bool(value.uses() or value.is_graph_output()) for value in old]
    if not any(read):
        return
    sizes = whole_numbers(graph, f"sizes_{group.count}_{group.units}", [group.units] * group.count)
    split = ir.node("Split", [whole, sizes], {"axis": -1}, num_outputs=group.count)
    graph.insert_before(group.first, split)
    for value, part, is_read in zip(old, split.outputs, read, strict=True):
        if value is not None and is_read:
            become(value, part)


def _give_joined(graph: ir.Graph, group: Group, y: ir.Value) -> bool:
    """Rule 5; whether it holds."""
    ways = [_way_to_join(node.outputs[0]) for node in group.layers]
    way, join = ways[0]
    told = {tuple(map(_told, nodes)) for nodes, _ in ways}
    if join is None or len(told) > 1 or not _is_joined_in_order(join, ways):
        return False
    inner = _in_one_direction if group.directions == 1 else _in_two_directions
    value = inner(graph, group, way, y)
    if value is None:
        return False
    become(join.outputs[0], value)
    return True


def _in_one_direction(
    graph: ir.Graph, group: Group, way: Sequence[ir.Node], y: ir.Value
) -> ir.Value | None:
    """Axes are moved, the units stay the last; None if they do not."""
    kinds = [node.op_type for node in way]
    is_moved = kinds == ["Squeeze", "Transpose"] and (perm_of(way[1]) or (0,))[-1] == 2
    if not (is_moved or kinds == ["Squeeze"]) or numbers_of(input_at(way[0], 1)) != [1]:
        return None
    for node in way:
        y = _like(graph, group, node, [y, *node.inputs[1:]])
    return y


def _in_two_directions(
    graph: ir.Graph, group: Group, way: Sequence[ir.Node], y: ir.Value
) -> ir.Value | None:
    """Directions and units are one axis, the last; None if they are not."""
    if [node.op_type for node in way] != ["Transpose", "Reshape"]:
        return None
    perm, target = perm_of(way[0]) or (), numbers_of(way[1].inputs[1])
    shape = known_shape(way[1].outputs[0])
    if perm[-2:] != (1, 3) or not target or 0 in target[2:] or shape is None:
        return None
    if shape[-1] != 2 * group.units:
        return None
    y = _parts_outside(graph, group, y, perm)
    numbers = [*target[:-1], 2 * group.units * group.count]
    return _placed(graph, group, reshape(graph, y, numbers), (*shape[:-1], numbers[-1]))


def _way_to_join(value: ir.Value) -> tuple[list[ir.Node], ir.Node | None]:
    """The nodes between a layer's output and a ``Concat``, and that; None if there is none."""
    way: list[ir.Node] = []
    node, place = only_use(value)
    while node is not None and node.op_type in ("Squeeze", "Transpose", "Reshape") and place == 0:
        way.append(node)
        node, place = only_use(node.outputs[0])
    return way, node if node is not None and node.op_type == "Concat" else None


def _told(node: ir.Node) -> tuple[str, str, str]:
    """The same for nodes that do the same."""
    return node.op_type, attributes_of(node), str(numbers_of(input_at(node, 1)))


def _is_joined_in_order(
    join: ir.Node, ways: Sequence[tuple[Sequence[ir.Node], ir.Node | None]]
) -> bool:
    shape = known_shape(join.outputs[0])
    is_last = shape is not None and join.attributes.get_int("axis", 0) in (-1, len(shape) - 1)
    ends = [nodes[-1].outputs[0] if nodes else None for nodes, _ in ways]
    return is_last and list(join.inputs) == ends


def _parts_outside(graph: ir.Graph, group: Group, y: ir.Value, perm: Sequence[int]) -> ir.Value:
    """``[frames, 2, batch, all units]`` to ``[..., part, direction, units]``, transposed else."""
    shape = known_shape(y)
    assert shape is not None  # noqa: S101 - it was told
    cut = (*shape[:-1], group.count, group.units)
    y = _placed(graph, group, reshape(graph, y, [0, 0, 0, group.count, group.units]), cut)
    order = [*perm[:2], 3, 1, 4]
    return _add(graph, group, "Transpose", [y], tuple(cut[axis] for axis in order), perm=order)


def _like(
    graph: ir.Graph, group: Group, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> ir.Value:
    """What the node gives, of all parts: its last axis is as much longer."""
    shape = known_shape(node.outputs[0])
    if shape is not None:
        last = shape[-1]
        shape = (*shape[:-1], last * group.count) if isinstance(last, int) else None
    return _add(graph, group, node.op_type, inputs, shape, **dict(node.attributes))
