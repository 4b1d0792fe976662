"""A picture of several steps in a row: what a recurrent network is when its loops are cut open.

Rules:
    1. Each step is a copy of the whole picture in a frame of its own: ``t``, ``t + 1`` and so on.
    2. A state leaves the box that writes it in one step and enters its readers in the next.
    3. What the first step starts from and what the last one leaves are boxes outside of all steps.
    4. What waits in a delay line of n frames enters n steps later, if that step is drawn.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from rnnedge.report.graph import load_model, read_contract
from rnnedge.report.picture.build import Network
from rnnedge.report.picture.mermaid import to_mermaid
from rnnedge.report.picture.model import Box, Edge, Picture
from rnnedge_runtime.errors import RnnEdgeError

_DELAY = re.compile(r"delay (\d+)")


def draw_unrolled(file: Path, steps: int, *, depth: int | None = None) -> str:
    """A few steps of the model in `file` as Mermaid text.

    Args:
        file: an ONNX file with a contract.
        steps: how many.
        depth: how many parts of a module's path to look at; None for as many as stay readable.

    Raises:
        ModelFileError: the file is missing, truncated, or not ONNX.
        ContractError: its contract is damaged or of a newer version.
        RnnEdgeError: nothing goes from one step to the next.
    """
    model = load_model(file)
    contract = read_contract(model)
    if contract is None or not contract.states:
        why = "has no contract" if contract is None else "carries no state"
        raise RnnEdgeError(
            f"there is nothing to unroll: the file {why}",
            where=str(file),
            fix="export it with `rnnedge export`, in stream mode; --graph - draws it as it is",
        )
    network = Network(model, contract)
    chosen = network.readable_depth() if depth is None else min(depth, network.deepest)
    return to_mermaid(unroll(network.picture(chosen, framed=False), steps))


def unroll(picture: Picture, steps: int) -> Picture:
    """The picture of several steps.

    Args:
        picture: of one step.
        steps: how many, at least 1.
    """
    boxes: list[Box] = []
    edges: list[Edge] = []
    for step in range(steps):
        name = "t" if step == 0 else f"t + {step}"
        kept = [box for box in picture.boxes if box.kind != "state"]
        boxes += [replace(box, key=_at(box.key, step), frame=name) for box in kept]
        edges += _data(picture, step, steps)
    carriers = {box.key: box for box in picture.boxes if box.kind == "state"}
    for number, edge in enumerate(edge for edge in picture.edges if edge.is_state):
        if edge.source in carriers:
            # A state that belongs to no box is carried past all of them.
            boxes.append(carriers[edge.source])
            continue
        before, after = f"before:{number}", f"after:{number}"
        boxes.insert(number, Box(before, "state", "before", tuple(edge.label.split("\n"))))
        boxes.append(Box(after, "state", "after", tuple(edge.label.split("\n"))))
        places = [_at(edge.source, step) for step in range(steps)]
        entries = [_at(edge.target, step) for step in range(steps)]
        for source, target in zip([before, *places], [*entries, after], strict=True):
            edges.append(Edge(source, target, edge.label, is_state=True))
    return Picture(tuple(boxes), tuple(edges))


def _data(picture: Picture, step: int, steps: int) -> list[Edge]:
    """The arrows that leave boxes of this step, without those of states."""
    found = []
    for edge in picture.edges:
        delay = _DELAY.search(edge.label)
        later = step + (int(delay[1]) if delay else 0)
        if not edge.is_state and later < steps:
            found.append(Edge(_at(edge.source, step), _at(edge.target, later), edge.label))
    return found


def _at(key: str, step: int) -> str:
    return f"{key}@{step}"
