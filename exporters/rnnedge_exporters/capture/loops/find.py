"""Finds the iterations of a loop over time in an unrolled graph.

Rules:
    1. A loop reads all frames of a tensor, in their order, at equal distances in the graph.
    2. Its iterations are blocks of that distance, of the same operators with the same arguments:
       each argument is a frame of the iteration, a result of the same or of the previous iteration,
       or made before the loop. In the place of previous results the first iteration has initial
       states.
    3. What iterations write into one place after another of a tensor is a result of the loop.
    4. Of the last iteration what nobody needs may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch.fx import Graph, Node
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.arguments import axis_of, operator_name
from rnnedge_exporters.capture.loops.normal import frame_of

_INDEX = object()
"""Stands for the number of the iteration."""
_NEITHER = object()
"""Stands for a result that is neither of the same iteration nor of the previous one."""


@dataclass(frozen=True)
class Carried:
    """Stands for the result at one place of the previous iteration."""

    place: int


@dataclass(frozen=True)
class Inside:
    """Stands for the result at one place of the same iteration."""

    place: int


@dataclass
class Loop:
    """Iterations that are alike.

    Attributes:
        blocks: per iteration its nodes; None for one that is missing.
        arguments: per place the arguments of the node there, flattened.
        reads: places that read a frame, with the tensor and the axis.
        writes: places that write a frame, with the axis.
        initial: what the first iteration has in the place of a carried result.
    """

    blocks: list[list[Node | None]]
    arguments: list[list[Any]]
    reads: dict[int, tuple[Node, int]] = field(default_factory=dict)
    writes: dict[int, int] = field(default_factory=dict)
    initial: dict[int, Node] = field(default_factory=dict)


def find_loop(graph: Graph, frames: int) -> Loop | None:
    """The first loop of so many iterations, if there is one."""
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    reads: dict[tuple[Node, int], dict[int, int]] = {}
    for place, node in enumerate(nodes):
        read = frame_of(node)
        if read is not None:
            reads.setdefault(read[:2], {}).setdefault(read[2], place)
    for places in reads.values():
        if sorted(places) != list(range(frames)):
            continue
        starts = [places[t] for t in range(frames)]
        period = starts[1] - starts[0]
        if period < 1 or any(b - a != period for a, b in pairwise(starts)):
            continue
        loops = [_match(nodes, starts[0] - before, period, frames) for before in range(period)]
        found = [loop for loop in loops if loop and loop.initial.keys() - loop.writes.keys()]
        if found:
            return min(found, key=lambda loop: loop.blocks[-1].count(None))
    return None


def _match(nodes: list[Node], start: int, period: int, frames: int) -> Loop | None:
    if start < 0:
        return None
    blocks: list[list[Node | None]] = [
        list(nodes[start + t * period : start + (t + 1) * period]) for t in range(frames - 1)
    ]
    blocks.append(_last_block(nodes[start + (frames - 1) * period :], blocks[-1]))
    matcher = _Matcher(Loop(blocks, []))
    return matcher.loop if all(map(matcher.is_alike, range(period))) else None


def _last_block(rest: Sequence[Node], model: list[Node | None]) -> list[Node | None]:
    """Rule 4: the nodes of `rest` in the order of the block before it."""
    found: list[Node | None] = []
    at = 0
    for like in model:
        node = rest[at] if at < len(rest) else None
        if node is not None and like is not None and _takes_alike(node, like, found, model):
            found.append(node)
            at += 1
        else:
            found.append(None)
    return found


def _takes_alike(
    node: Node, like: Node, found: list[Node | None], model: list[Node | None]
) -> bool:
    """Whether it is the same, and takes of its own iteration what the other takes of its own."""
    ours = [found.index(n) for n in node.all_input_nodes if n in found]
    theirs = [model.index(n) for n in like.all_input_nodes if n in model]
    return node.target == like.target and ours == theirs


class _Matcher:
    """Compares iterations place by place, and notes in `loop` what it finds; rules 2 and 3."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._position = {
            node: (t, place)
            for t, block in enumerate(loop.blocks)
            for place, node in enumerate(block)
            if node is not None
        }

    def is_alike(self, place: int) -> bool:
        """Whether all iterations do the same at that place."""
        column = [(t, b[place]) for t, b in enumerate(self.loop.blocks)]
        nodes = [(t, node) for t, node in column if node is not None]
        model = dict(nodes)[1]
        if any(node.target != model.target for _, node in nodes):
            return False
        read = frame_of(model)
        if read is not None and read[0] not in self._position and read[2] == 1:
            self.loop.reads[place] = read[:2]
            self.loop.arguments.append([])
            return all(frame_of(node) == (*read[:2], t) for t, node in nodes)
        leaves, tree = pytree.tree_flatten((model.args, model.kwargs))
        kinds = [self._kind(leaf, 1) for leaf in leaves]
        self.loop.arguments.append(kinds)
        if _NEITHER in kinds:
            return False
        if operator_name(model) == "select_scatter" and model.args[3] == 1:
            if kinds[0] != Carried(place):
                return False
            kinds[3] = _INDEX
            self.loop.writes[place] = axis_of(model)
        flat = ((t, *pytree.tree_flatten((node.args, node.kwargs))) for t, node in nodes)
        return all(
            own == tree and all(map(self._is_same, kinds, leaves, [t] * len(kinds)))
            for t, leaves, own in flat
        )

    def _is_same(self, kind: Any, leaf: Any, iteration: int) -> bool:
        if kind is _INDEX:
            return bool(leaf == iteration)
        if iteration == 0 and isinstance(kind, Carried):
            is_initial = isinstance(leaf, Node) and leaf not in self._position
            return is_initial and self.loop.initial.setdefault(kind.place, leaf) is leaf
        found = self._kind(leaf, iteration)
        return type(found) is type(kind) and bool(found == kind)

    def _kind(self, leaf: Any, iteration: int) -> Any:
        """What an argument is, seen from its iteration."""
        if not isinstance(leaf, Node) or leaf not in self._position:
            return leaf
        t, place = self._position[leaf]
        if t == iteration:
            return Inside(place)
        return Carried(place) if t == iteration - 1 else _NEITHER
