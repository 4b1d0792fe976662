"""Places boxes and edges, by Graphviz's ``dot``.

Graphviz is given sizes and no text, so that it needs no fonts and the result is the same on every
machine. Its unit is a point, ours a pixel; one is taken for the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rnnedge.report.picture.model import Box, Edge, Picture
from rnnedge_runtime.errors import RnnEdgeError

_POINTS_PER_INCH = 72
_SETTINGS = (
    'graph [newrank=true, nodesep=0.35, ranksep=0.42]; node [shape=box, fixedsize=true, label=""];'
)


@dataclass(frozen=True)
class Point:
    """In pixels, y downwards."""

    x: float
    y: float


@dataclass(frozen=True)
class Area:
    """A rectangle, by its corner at the top left, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Size:
    """In pixels."""

    width: float
    height: float


@dataclass(frozen=True)
class Route:
    """The way of one edge.

    Attributes:
        curve: the points of a Bézier spline: start, then two controls and an end per piece.
        tip: where the arrow's head ends.
        label: the middle of its label; None if it has none.
    """

    curve: tuple[Point, ...]
    tip: Point
    label: Point | None


@dataclass(frozen=True)
class Layout:
    """Where everything is. Routes are in the order of the picture's edges."""

    size: Size
    boxes: Mapping[str, Area]
    frames: Mapping[str, Area]
    routes: tuple[Route, ...]


def lay_out(
    picture: Picture,
    boxes: Mapping[str, Size],
    frames: Mapping[str, Size],
    labels: Mapping[Edge, Size],
) -> Layout:
    """Places a picture whose texts need so much room.

    Raises:
        RnnEdgeError: the package that brings Graphviz is not installed.
    """
    try:
        import pygraphviz
    except ImportError as error:
        raise RnnEdgeError(
            "an SVG picture needs the package pygraphviz, which is not installed",
            where="--graph",
            fix='pip install "rnnedge[draw]", or write Mermaid text: --graph NAME.mmd',
        ) from error
    names = {box.key: f"n{number}" for number, box in enumerate(picture.boxes)}
    lines = [*_nodes(picture, boxes, frames, names), *_edges(picture.edges, labels, names)]
    graph = pygraphviz.AGraph(string="\n".join(["digraph {", _SETTINGS, *lines, "}"]))
    placed = json.loads(graph.draw(format="json", prog="dot"))
    return _read(picture, placed, names)


def _nodes(
    picture: Picture,
    sizes: Mapping[str, Size],
    frames: Mapping[str, Size],
    names: Mapping[str, str],
) -> list[str]:
    def node(box: Box) -> str:
        width, height = sizes[box.key].width, sizes[box.key].height
        rank = {"input": "min", "output": "max"}.get(box.kind)
        text = (
            f"{names[box.key]} [width={width / _POINTS_PER_INCH:.4f},"
            f" height={height / _POINTS_PER_INCH:.4f}];"
        )
        return f"{{rank={rank}; {text}}}" if rank else text

    lines = [node(box) for box in picture.boxes if not box.frame]
    for number, (name, inside) in enumerate(picture.frames().items()):
        label = _blank(frames[name])
        lines.append(f"subgraph cluster_{number} {{ margin=14; labeljust=l; label={label};")
        lines += [node(box) for box in inside] + ["}"]
    return lines


def _edges(
    edges: Iterable[Edge], labels: Mapping[Edge, Size], names: Mapping[str, str]
) -> list[str]:
    lines = []
    for number, edge in enumerate(edges):
        label = f"label={_blank(labels[edge])}," if edge in labels else ""
        # A state's arrow back must not turn the order of the boxes around.
        rank = "constraint=false" if edge.is_state and edge.source != edge.target else ""
        lines.append(f"{names[edge.source]} -> {names[edge.target]} [{label} id={number} {rank}];")
    return lines


def _blank(size: Size) -> str:
    """A label of a size without text in it."""
    return (
        f'<<table border="0" cellborder="0" fixedsize="true" width="{size.width:.0f}"'
        f' height="{size.height:.0f}"><tr><td></td></tr></table>>'
    )


def _read(picture: Picture, placed: Mapping[str, Any], names: Mapping[str, str]) -> Layout:
    left, bottom, right, top = _numbers(placed["bb"])

    def point(text: str) -> Point:
        x, y = _numbers(text)
        return Point(x - left, top - y)

    objects = {item["name"]: item for item in placed.get("objects", ())}
    boxes = {}
    for key, name in names.items():
        item = objects[name]
        middle = point(item["pos"])
        width = float(item["width"]) * _POINTS_PER_INCH
        height = float(item["height"]) * _POINTS_PER_INCH
        boxes[key] = Area(middle.x - width / 2, middle.y - height / 2, width, height)
    frames = {}
    for number, frame in enumerate(picture.frames()):
        x0, y0, x1, y1 = _numbers(objects[f"cluster_{number}"]["bb"])
        frames[frame] = Area(x0 - left, top - y1, x1 - x0, y1 - y0)
    routes = []
    for item in sorted(placed.get("edges", ()), key=lambda item: int(item["id"])):
        head, *curve = item["pos"].split()
        label = point(item["lp"]) if "lp" in item else None
        routes.append(Route(tuple(map(point, curve)), point(head.removeprefix("e,")), label))
    return Layout(Size(right - left, top - bottom), boxes, frames, tuple(routes))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))
