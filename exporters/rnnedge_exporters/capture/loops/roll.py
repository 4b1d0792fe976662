"""Writes a loop that was unrolled as one call of a recurrence.

Rules:
    1. The step takes what is carried, the frames, and whatever else iterations use, which is the
       same for all of them. It gives what is carried on, and what is used of every iteration.
    2. Results of all iterations that are stacked or joined in their order are the recurrence's,
       moved to that axis; so are frames written one by one, when that fills the tensor.
    3. A result of the last iteration is what is carried in the end; of any other, that frame.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.arguments import arguments_of, operator_name
from rnnedge_exporters.capture.loops.find import Carried, Inside, Loop, find_loop
from rnnedge_exporters.capture.loops.layers import as_layers
from rnnedge_exporters.scan import scan

aten = torch.ops.aten


class Repeat(nn.Module):
    """A step, repeated over frames that lie on the first axis."""

    def __init__(self, step: GraphModule, carried: int, frames: int) -> None:
        super().__init__()
        self.step, self.carried, self.frames = step, carried, frames

    def forward(self, *given: Any) -> tuple[Tensor, ...]:
        """Takes and gives what a step does, frames [time, ...] in the place of each."""
        count, ahead = self.carried, self.carried + self.frames

        def step(x: Any, before: Any) -> Any:
            results = self.step(*before, *x, *given[ahead:])
            return results[count:], results[:count]

        y, after = scan(step, given[count:ahead], given[:count], dim=0)
        return (*after, *y)


def roll(graph_module: GraphModule, frames: int) -> int:
    """Writes all loops of so many iterations anew, in place; returns how many there were."""
    count = 0
    while (loop := find_loop(graph_module.graph, frames)) is not None:
        if not _Roller(graph_module, loop, f"loop_{count}").write():
            break
        count += 1
    graph_module.graph.lint()
    graph_module.recompile()
    return count


class _Roller:
    def __init__(self, graph_module: GraphModule, loop: Loop, name: str) -> None:
        self._module, self._loop, self._name = graph_module, loop, name
        self._graph = graph_module.graph
        self._first = next(node for node in loop.blocks[0] if node is not None)
        self._inside = {node for block in loop.blocks for node in block if node is not None}
        self._carried = sorted(loop.initial.keys() - loop.writes.keys())
        self._given: list[int] = []

    def write(self) -> bool:
        """Whether the loop could be written anew."""
        loop, users = self._loop, self._users_after()
        if not all(self._is_filled(place) for place in loop.writes):
            return False
        columns = [list(column) for column in zip(*loop.blocks, strict=True)]
        self._given = sorted(
            place
            for place, column in enumerate(columns)
            if place not in loop.writes and any(n in users for n in column)
        )
        values = [loop.arguments[place][1].place for place in loop.writes]
        self._given += [place for place in values if place not in self._given]
        self._given = self._given or self._carried[:1]
        step, others = self._step()
        with self._graph.inserting_before(self._first):
            frames = [
                self._moved(source, source.meta["val"].ndim, dim, 0)
                for source, dim in loop.reads.values()
            ]
            before = [loop.initial[place] for place in self._carried]
            counts = (len(before), len(frames))
            whole = as_layers(step, *counts) or Repeat(step, *counts)
            self._module.add_module(self._name, whole)
            result = self._graph.call_module(self._name, (*before, *frames, *others))
        self._replace(result, columns)
        return True

    def _call(self, target: Any, *args: Any) -> Node:
        return self._graph.call_function(target, args)

    def _moved(self, tensor: Node, ndim: int, source: int, target: int) -> Node:
        order = list(range(ndim))
        order.insert(target, order.pop(source))
        return self._call(aten.permute.default, tensor, order)

    def _users_after(self) -> set[Node]:
        """Nodes of the loop that something after it uses."""
        return {n for n in self._inside if any(user not in self._inside for user in n.users)}

    def _is_filled(self, place: int) -> bool:
        """Whether writing fills the tensor, and nothing but its last form is used."""
        loop = self._loop
        size = loop.initial[place].meta["val"].shape[loop.writes[place]]
        before = [block[place] for block in loop.blocks[:-1]]
        used = self._users_after()
        is_value = isinstance(loop.arguments[place][1], Inside)
        return size == len(loop.blocks) and not any(n in used for n in before) and is_value

    def _step(self) -> tuple[GraphModule, list[Node]]:
        """Rule 1."""
        loop, graph = self._loop, Graph()
        carried = {place: graph.placeholder(f"carried_{place}") for place in self._carried}
        frames = {place: graph.placeholder(f"frame_{place}") for place in loop.reads}
        others: dict[Node, Node] = {}
        model = loop.blocks[1]
        for place, leaves in enumerate(loop.arguments):
            if place not in loop.reads and place not in loop.writes:
                for leaf in leaves:
                    if isinstance(leaf, Node) and leaf not in others:
                        others[leaf] = graph.placeholder(f"other_{len(others)}")
        inside: dict[int, Node] = {}
        for place, leaves in enumerate(loop.arguments):
            node = model[place]
            assert node is not None  # noqa: S101 - only the last block has gaps
            if place in loop.reads:
                inside[place] = frames[place]
                if operator_name(node) == "slice":
                    inside[place] = graph.call_function(
                        aten.unsqueeze.default, (frames[place], loop.reads[place][1])
                    )
            elif place not in loop.writes:
                inside[place] = _copied(graph, node, leaves, inside, carried, others)
        results = [inside[place] for place in (*self._carried, *self._given)]
        graph.output(tuple(results))
        return GraphModule(nn.Module(), graph), list(others)

    def _replace(self, result: Node, columns: list[list[Node | None]]) -> None:
        """Rules 2 and 3; then the unrolled nodes leave the graph."""
        loop = self._loop
        with self._graph.inserting_after(result):
            parts = {}
            for index in reversed(range(len(self._carried) + len(self._given))):
                parts[index] = self._call(operator.getitem, result, index)
        ends = {place: parts[index] for index, place in enumerate(self._carried)}
        ys = {place: parts[len(ends) + index] for index, place in enumerate(self._given)}
        for place, dim in loop.writes.items():
            last, value = loop.blocks[-1][place], loop.arguments[place][1].place
            if last is not None:
                self._put(last, ys[value], dim)
        for place in self._given:
            self._put_joined(columns[place], ys[place])
            for t, node in enumerate(columns[place]):
                if node is not None and t == len(loop.blocks) - 1:
                    self._put_one(node, ends.get(place), ys[place], -1)
                elif node is not None:
                    self._put_one(node, None, ys[place], t)
        for node in reversed(list(self._graph.nodes)):
            if node in self._inside:
                self._graph.erase_node(node)

    def _put_one(self, old: Node, end: Node | None, frames: Node, t: int) -> None:
        """Where one iteration's result is used by itself."""
        users = [user for user in old.users if user not in self._inside]
        if not users:
            return
        new = end
        if new is None:
            with self._graph.inserting_before(min(users)):
                new = self._call(aten.select.int, frames, 0, t)
        for user in users:
            user.replace_input_with(old, new)

    def _put(self, old: Node, frames: Node, dim: int) -> None:
        with self._graph.inserting_before(old):
            new = self._moved(frames, old.meta["val"].ndim, 0, dim)
        new.meta = dict(old.meta)
        for user in [u for u in old.users if u not in self._inside]:
            user.replace_input_with(old, new)

    def _put_joined(self, column: Sequence[Node | None], frames: Node) -> None:
        """Where all iterations' results are stacked or joined in their order."""
        part = next(node for node in column if node is not None)
        users = {user for node in column if node is not None for user in node.users}
        for user in users - self._inside:
            if operator_name(user) not in ("stack", "cat") or user.args[0] != list(column):
                continue
            dim = int(arguments_of(user)["dim"]) % user.meta["val"].ndim
            with self._graph.inserting_before(user):
                new = self._moved(frames, part.meta["val"].ndim + 1, 0, dim)
                if operator_name(user) == "cat" and part.meta["val"].shape[dim] == 1:
                    new = self._call(aten.squeeze.dim, new, dim + 1)
                elif operator_name(user) == "cat":
                    new = self._call(aten.flatten.using_ints, new, dim, dim + 1)
            new.meta = dict(user.meta)
            user.replace_all_uses_with(new)
            self._graph.erase_node(user)


def _copied(
    graph: Graph,
    node: Node,
    leaves: Sequence[Any],
    inside: dict[int, Node],
    carried: dict[int, Node],
    others: dict[Node, Node],
) -> Node:
    def value(leaf: Any) -> Any:
        if isinstance(leaf, Inside):
            return inside[leaf.place]
        if isinstance(leaf, Carried):
            return carried[leaf.place]
        return others.get(leaf, leaf) if isinstance(leaf, Node) else leaf

    _, tree = pytree.tree_flatten((node.args, node.kwargs))
    args, kwargs = pytree.tree_unflatten([value(leaf) for leaf in leaves], tree)
    new = graph.call_function(node.target, args, kwargs)  # type: ignore[arg-type]
    new.meta = dict(node.meta)
    return new
