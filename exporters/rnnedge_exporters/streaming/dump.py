"""The clocks of a program in rows that a person can read: one for each tensor with time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from torch.fx import Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.capture.arguments import operator_name
from rnnedge_exporters.streaming.clock import Flow
from rnnedge_exporters.streaming.clocks import Clocks
from rnnedge_exporters.streaming.naming import Names
from rnnedge_exporters.streaming.refusal import module_path, user_line

VERSION = 1
_LINE = "line"


@dataclass(frozen=True)
class Row:
    """What is known of one tensor; numbers of frames are its own.

    Attributes:
        module: path of the module that made it; empty for the root and for inputs.
        operator: that made it; ``input x`` for an input.
        shape: of the whole sequence, with ``batch`` and ``time``.
        flow: how it runs with time, as `Flow` has it.
        rate: frames per input frame, ``1/2``; empty where it has no frames.
        delay: emission j is frame ``j - delay``; None where it has no frames.
        length: how many frames there are after T input frames; empty where it has no frames.
        edges: what is repeated beyond the signal: ``reflect 2, 2``.
        plan: what the stream keeps for the operator; empty where it runs as it is.
        line: of the user's, ``net.py:12: y = self.conv(x)``.
    """

    module: str
    operator: str
    shape: tuple[int | str, ...]
    flow: str
    rate: str
    delay: int | None
    length: str
    edges: str
    plan: str
    line: str


def rows_of(program: Program, found: Clocks) -> tuple[Row, ...]:
    """The rows of all tensors with time that have a clock, in the order in which they are made."""
    names = Names.of(program)
    inputs = {node: name for name, node in program.inputs.items()}
    inputs |= {state.start: state.name for state in program.states}
    return tuple(
        _row(node, inputs.get(node), names, found)
        for node in program.graph_module.graph.nodes
        if node in found.clocks and found.clocks[node].flow is not Flow.FIXED
    )


def to_json(rows: Iterable[Row]) -> str:
    """For the metadata of a file: without lines, which are of the machine that exported."""
    kept = [{k: v for k, v in asdict(row).items() if k != _LINE} for row in rows]
    columns = [name for name in Row.__dataclass_fields__ if name != _LINE]
    table: dict[str, Any] = {
        "version": VERSION,
        "columns": columns,
        "rows": [[row[name] for name in columns] for row in kept],
    }
    return json.dumps(table, separators=(",", ":"))


def _row(node: Node, name: str | None, names: Names, found: Clocks) -> Row:
    clock, plan = found.clocks[node], found.plans.get(node)
    has_frames = clock.flow is Flow.FRAMES
    edges, parts = clock.edges, [] if plan is None else [str(plan)]
    if node in found.waits:
        parts.append(f"delay line of {found.waits[node]}")
    return Row(
        module=module_path(node),
        operator=_operator(node) if name is None else f"input {name}",
        shape=names.shape(node),
        flow="even" if clock.even else clock.flow.name.lower(),
        rate=str(clock.rate) if has_frames else "",
        delay=clock.delay if has_frames else None,
        length=str(clock.length) if has_frames else "",
        edges="" if edges is None else f"{edges.mode} {edges.left}, {edges.right}",
        plan=", ".join(parts),
        line=user_line(node),
    )


def _operator(node: Node) -> str:
    return operator_name(node) or getattr(node.target, "__name__", str(node.target))
