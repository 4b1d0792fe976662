"""Where the states are drawn, and what is written on them.

Rules:
    1. A delay line (``context`` whose name ends in ``delay``) is a label on the edges it delays:
       ``delay 3``.
    2. Any other state is a loop on the box of the module that it is named after, labelled with the
       rest of its name and its shape without the batch: ``h 1×128``; of a context, with how far
       back it reaches: ``context 4 frames``.
    3. A state that is named after no box is an arrow from the box that writes it to the boxes that
       read it: a loop if these are one.
    4. A state that plumbing alone carries, or that many boxes read, is a box of its own.
    5. The loops of one box are one with a line for each; more than three are only counted:
       ``5 states: 3 context, 2 hidden``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from rnnedge.report.graph import attribute
from rnnedge.report.picture.model import Box, Edge
from rnnedge.report.picture.trace import Trace
from rnnedge_runtime.contract import State

_MOST_LOOPS = 3
_MOST_READERS = 4
_DELAY = re.compile(r"(^|\.)delay(_?\d+)?$")


@dataclass(frozen=True)
class Placed:
    """What the states add to a picture: arrows, and boxes for those that belong to none."""

    edges: tuple[Edge, ...]
    boxes: tuple[Box, ...]


def is_delay(state: State) -> bool:
    """Whether a state does nothing but hold a signal back."""
    return state.kind == "context" and bool(_DELAY.search(state.name))


def delay_text(state: State, frames: Mapping[str, int]) -> str:
    """``delay 3``: in frames of the signal it delays; `frames` is what `context_frames` gave."""
    return f"delay {frames.get(state.name, _shape(state))}"


def place_states(
    states: Iterable[State],
    modules: Mapping[str, Sequence[str]],
    titles: Mapping[str, str],
    trace: Trace,
    frames: Mapping[str, int],
) -> Placed:
    """Finds a place for each state that is not a label on an edge.

    Args:
        states: what the contract says is carried from run to run.
        modules: the paths of the modules that each box holds, by the box's key.
        titles: the path that each box is called by, by its key; empty for none.
        trace: of the graph into these boxes.
        frames: what `context_frames` gave.
    """
    loops: dict[str, list[tuple[State, str]]] = defaultdict(list)
    on_edges = {name for ways in trace.edges.values() for way in ways for name in way}
    edges: list[Edge] = []
    boxes: list[Box] = []
    for state in states:
        if is_delay(state) and state.name in on_edges:
            continue
        owner = _owner(state, modules, trace)
        readers, writers = trace.readers.get(state.name, []), trace.boxes(state.output)
        if owner is not None:
            loops[owner].append((state, _text(state, titles.get(owner, ""), frames)))
        elif readers and len(readers) <= _MOST_READERS and len(writers) == 1:
            text = _text(state, "", frames)
            edges += [Edge(writers[0], reader, text, is_state=True) for reader in readers]
        else:
            key = f"state:{state.name}"
            boxes.append(Box(key, "state", state.name))
            edges.append(Edge(key, key, _text(state, state.name, frames), is_state=True))
    for owner, texts in loops.items():
        edges.append(Edge(owner, owner, _few(texts), is_state=True))
    return Placed(tuple(edges), tuple(boxes))


def _owner(state: State, modules: Mapping[str, Sequence[str]], trace: Trace) -> str | None:
    """The box on which the state is a loop, if there is one."""
    readers, writers = trace.readers.get(state.name, []), trace.boxes(state.output)
    named = _named_after(state, modules)
    if len(named) > 1:
        named = [key for key in named if key in readers] or named
    if named:
        return named[0]
    if len(readers) == 1 and (state.kind == "context" or writers in ([], readers)):
        return readers[0]
    return None


def _named_after(state: State, modules: Mapping[str, Sequence[str]]) -> list[str]:
    """The boxes that hold the module whose path the state's name begins with."""
    path = state.name.rpartition(".")[0]
    while path:
        found = [key for key, paths in modules.items() if path in paths]
        if found:
            return found
        path = path.rpartition(".")[0]
    return []


def _text(state: State, title: str, frames: Mapping[str, int]) -> str:
    """What tells the state from the others of its box, and its size."""
    role = state.kind if state.name == title else state.name.removeprefix(f"{title}.")
    count = frames.get(state.name)
    size = _shape(state) if count is None else f"{count} frame{'' if count == 1 else 's'}"
    return f"{role} {size}".strip()


def _shape(state: State) -> str:
    """Sizes without the batch."""
    sizes = [size for axis, size in enumerate(state.shape) if axis != state.batch_axis]
    return "×".join(str(size) for size in sizes)


def context_frames(states: Iterable[State], graph: onnx.GraphProto) -> dict[str, int]:
    """How far back each context reaches, by its name: its size where the signal is appended.

    The contract does not say which axis of a state is time; the node that appends to it does. A
    state that none appends to is left out.
    """
    found: dict[str, int] = {}
    shapes = {
        state.input: (state.name, list(state.shape)) for state in states if state.kind == "context"
    }
    for node in graph.node:
        for name in node.input:
            if name not in shapes:
                continue
            state, shape = shapes[name]
            if node.op_type == "Concat":
                axis = attribute(node, "axis", 0)
                frames = shape[axis] if isinstance(axis, int) else None
                if isinstance(frames, int):
                    found.setdefault(state, frames)
            elif node.op_type == "Transpose":
                order = attribute(node, "perm", None)
                turned = [shape[axis] for axis in order] if isinstance(order, list) else shape[::-1]
                shapes[node.output[0]] = (state, turned)
            elif node.op_type in ("Cast", "Identity"):
                shapes[node.output[0]] = (state, shape)
    return found


def _few(loops: Sequence[tuple[State, str]]) -> str:
    if len(loops) <= _MOST_LOOPS:
        return "\n".join(text for _, text in loops)
    kinds = Counter(state.kind for state, _ in loops)
    if len(kinds) == 1:
        return f"{len(loops)} {loops[0][0].kind} states"
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{len(loops)} states: {counts}"
