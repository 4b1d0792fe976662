"""From a model file's graph and contract to what is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import onnx

from rnnedge.report.graph import describe as describe_graph
from rnnedge.report.picture.frames import frame_names, shared
from rnnedge.report.picture.grouping import Boxes, Grouping
from rnnedge.report.picture.labels import describe, stored_shapes, summarize
from rnnedge.report.picture.model import Box, Edge, Picture
from rnnedge.report.picture.states import context_frames, delay_text, is_delay, place_states
from rnnedge.report.picture.trace import Trace, input_key, output_key
from rnnedge.report.picture.units import Unit, find_units
from rnnedge.report.units import shape_text
from rnnedge_runtime.contract import Contract, Port

_MOST_BOXES = 40
"""More than a person takes in at a glance."""


class Network:
    """A model, ready to be drawn at any depth.

    Attributes:
        deepest: the depth from which on nothing more is told apart.
    """

    def __init__(self, model: onnx.ModelProto, contract: Contract | None) -> None:
        """Args: `model` has its functions inlined; without a `contract` there are no states."""
        self._model, self._contract = model, contract
        self._states = () if contract is None else contract.states
        self._frames = context_frames(self._states, model.graph)
        self._shapes = stored_shapes(model.graph)
        units = find_units(model.graph, self._shapes)
        self._grouping = Grouping(model.graph, units, self._states)
        self.deepest = self._grouping.deepest()

    def readable_depth(self) -> int:
        """The deepest look that shows no more boxes than a person takes in; 1 if none does."""
        for depth in range(self.deepest, 1, -1):
            if len(self._grouping.at_depth(depth)) + len(self._ports()) <= _MOST_BOXES:
                return depth
        return 1

    def picture(self, depth: int, *, framed: bool = True) -> Picture:
        """What is seen at a depth; `framed`: with frames around the boxes of a parent module."""
        boxes = self._grouping.at_depth(depth)
        trace = self._grouping.trace(boxes)
        ports = self._ports()
        for port in ports:
            if port.kind == "output":
                trace.arrive(port.title, port.key)
        titles = self._titles(boxes)
        modules = {key: _modules(titles[key], units) for key, units in boxes.items()}
        placed = place_states(self._states, modules, titles, trace, self._frames)
        edges = (*self._edges(trace), *placed.edges)
        frames = frame_names(_parents(titles, boxes)) if framed else {}
        calls = Counter(titles.values())
        seen: Counter[str] = Counter()
        drawn = []
        used = {key for edge in edges for key in (edge.source, edge.target)}
        for key, units in boxes.items():
            if key in used:
                seen[titles[key]] += 1
                call = (seen[titles[key]], calls[titles[key]])
                drawn.append(self._box(key, titles[key], units, frames.get(key, ""), call))
        inputs = [port for port in ports if port.kind == "input"]
        outputs = [port for port in ports if port.kind == "output"]
        return Picture((*inputs, *placed.boxes, *drawn, *outputs), edges)

    def _titles(self, boxes: Boxes) -> dict[str, str]:
        """The module that each box is; empty for an operator of a parent."""
        titles = {}
        for key, units in boxes.items():
            real = _real(units)
            whole = len(real) > 1 or real[0].key == real[0].path
            titles[key] = common_path([unit.path for unit in real]) if whole else ""
        return titles

    def _box(
        self, key: str, title: str, units: list[Unit], frame: str, call: tuple[int, int]
    ) -> Box:
        real = _real(units)
        groups = [[self._model.graph.node[place] for place in unit.nodes] for unit in real]
        if len(groups) > 1:
            return Box(key, "module", title, (summarize(groups, self._shapes),), frame)
        words = dict.fromkeys(unit.word for unit in units if unit.word)
        if real[0].word:
            text = ", ".join(words)
        else:
            text = ", ".join([describe(groups[0], self._shapes), *words])
        if not title:
            return Box(key, "step", text, (), frame)
        number, count = call
        calls = (f"call {number} of {count}",) if count > 1 else ()
        return Box(key, "module", title, (text, *calls) if text else calls, frame)

    def _edges(self, trace: Trace) -> list[Edge]:
        """The arrows of the data; what waits in a delay line on the way is written on them."""
        delays = {
            state.name: delay_text(state, self._frames) for state in self._states if is_delay(state)
        }
        found = []
        for (source, target), ways in trace.edges.items():
            labels = {", ".join(delays[s] for s in sorted(way) if s in delays) for way in ways}
            found += [Edge(source, target, label) for label in sorted(labels)]
        return found

    def _ports(self) -> list[Box]:
        if self._contract is not None:
            return [
                *(_port(port, "input") for port in self._contract.inputs),
                *(_port(port, "output") for port in self._contract.outputs),
            ]
        graph = describe_graph(self._model)
        return [
            *(
                Box(
                    input_key(port.name),
                    "input",
                    port.name,
                    (f"{port.dtype}{shape_text(port.shape)}",),
                )
                for port in graph.inputs
            ),
            *(
                Box(
                    output_key(port.name),
                    "output",
                    port.name,
                    (f"{port.dtype}{shape_text(port.shape)}",),
                )
                for port in graph.outputs
            ),
        ]


def common_path(paths: Sequence[str]) -> str:
    """The innermost module that holds all paths."""
    return ".".join(shared([tuple(path.split(".")) for path in paths]))


def _real(units: Sequence[Unit]) -> list[Unit]:
    """Without the activations that are words on a box."""
    return [unit for unit in units if unit.kind != "activation"] or list(units)


def _modules(title: str, units: Iterable[Unit]) -> list[str]:
    """The modules that a box holds; none for an operator of a parent."""
    return [title, *(unit.path for unit in units if unit.key == unit.path)] if title else []


def _parents(titles: dict[str, str], boxes: Boxes) -> dict[str, str]:
    return {
        key: title.rpartition(".")[0] if title else boxes[key][0].path
        for key, title in titles.items()
    }


def _port(port: Port, kind: Literal["input", "output"]) -> Box:
    details = [f"{port.dtype}{shape_text(port.shape)}"]
    if port.ratio != 1:
        details.append(f"{port.ratio} frames out per frame in")
    if port.delay:
        details.append(f"delay {port.delay} frame{'' if port.delay == 1 else 's'}")
    key = input_key(port.name) if kind == "input" else output_key(port.name)
    return Box(key, kind, port.name, tuple(details))
