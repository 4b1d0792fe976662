"""Takes boxes apart that cannot be drawn as one: the data leaves them and comes back.

Rules:
    1. A box of parts that do not hang together becomes one box per part: a module that is called
       several times.
    2. If all boxes concerned hang together, the one of most units becomes one box per unit.
    3. If they are of one unit each, that of most nodes becomes one box per node.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable

import onnx

from rnnedge.report.picture.units import Unit


def take_apart(
    boxes: dict[str, list[Unit]], cycle: Iterable[str], graph: onnx.GraphProto
) -> dict[str, list[Unit]]:
    """The boxes with at least one of those in `cycle` in smaller parts."""
    found = {key: boxes[key] for key in cycle if key in boxes}
    parts = {key: _hanging_together(units, graph) for key, units in found.items()}
    loose = {key: part for key, part in parts.items() if len(part) > 1}
    if not loose:
        most = max(found, key=lambda key: (len(found[key]), _size(found[key])))
        units = found[most]
        loose = {most: [[u] for u in units] if len(units) > 1 else _single(units[0])}
    result = {key: units for key, units in boxes.items() if key not in loose}
    for key, pieces in loose.items():
        for piece in pieces:
            result[_free(key, result)] = piece
    return dict(sorted(result.items(), key=lambda item: item[1][0].nodes[0]))


def _free(key: str, taken: Collection[str]) -> str:
    """The key, with a number where it is taken: a box may be taken apart more than once."""
    names = itertools.chain([key], (f"{key}#{number}" for number in itertools.count(1)))
    return next(name for name in names if name not in taken)


def _size(units: Iterable[Unit]) -> int:
    return sum(len(unit.nodes) for unit in units)


def _single(unit: Unit) -> list[list[Unit]]:
    return [[_only(unit, {place})] for place in unit.nodes]


def _hanging_together(units: list[Unit], graph: onnx.GraphProto) -> list[list[Unit]]:
    """The parts of a box between which no tensor passes."""
    part_of: dict[int, set[int]] = {}
    maker: dict[str, int] = {}
    for place in sorted(place for unit in units for place in unit.nodes):
        node = graph.node[place]
        part = {place}
        for name in node.input:
            if name in maker:
                part |= part_of[maker[name]]
        part_of |= dict.fromkeys(part, part)
        maker |= dict.fromkeys(node.output, place)
    parts = {id(part): part for part in part_of.values()}
    return [
        [_only(unit, part) for unit in units if part.intersection(unit.nodes)]
        for part in parts.values()
    ]


def _only(unit: Unit, places: set[int]) -> Unit:
    """The unit's nodes among `places`."""
    nodes = tuple(place for place in unit.nodes if place in places)
    return Unit(unit.key, unit.path, unit.kind, nodes, unit.word)
