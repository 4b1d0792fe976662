"""A picture as SVG: readable on light and dark pages, without scripts or fonts of its own."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from rnnedge.report.picture.layout import Area, Layout, Point, Route, Size, lay_out
from rnnedge.report.picture.model import Box, Edge, Picture
from rnnedge.report.picture.text import text_width, wrap

_MARGIN = 20.0
_TITLE, _DETAIL, _LABEL = 13.0, 12.0, 11.0
"""Sizes of letters in pixels."""
_LINE = 17.0
_PADDING = Size(14, 9)
_HEAD = Size(7, 9)
"""An arrow's head: across, along."""
_LOOP = Size(26, 9)
"""How far a loop's controls reach out of its box, and half the height at which it leaves."""
_LABEL_LINE = 14.0
_LETTERS = 34

_STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
  font-size: 12px; fill: #57606a; text-anchor: middle; }
.title { font-size: 13px; font-weight: 600; fill: #1f2328; }
.path { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.page { fill: #ffffff; }
.frame { fill: #f6f8fa; stroke: #d0d7de; }
.frame-name { font-size: 12px; text-anchor: start; }
.module rect { fill: #ddf4ff; stroke: #54aeff; }
.step rect { fill: #ffffff; stroke: #8c959f; }
.input rect, .output rect { fill: #dafbe1; stroke: #4ac26b; }
.state rect { fill: #fff1e5; stroke: #e16f24; }
.edge path { fill: none; stroke: #6e7781; stroke-width: 1.4; }
.edge polygon { fill: #6e7781; }
.edge rect { fill: #ffffff; fill-opacity: 0.9; }
.edge text { font-size: 11px; font-weight: 600; fill: #57606a; }
.carried path { stroke: #bc4c00; stroke-dasharray: 5 3; }
.carried polygon { fill: #bc4c00; }
.carried text { fill: #953800; }
@media (prefers-color-scheme: dark) {
  text { fill: #9da7b3; }
  .title { fill: #e6edf3; }
  .page { fill: #0d1117; }
  .frame { fill: #151b23; stroke: #3d444d; }
  .module rect { fill: #0c2d6b; stroke: #388bfd; }
  .step rect { fill: #0d1117; stroke: #8b949e; }
  .input rect, .output rect { fill: #033a16; stroke: #2ea043; }
  .state rect { fill: #3d1300; stroke: #f0883e; }
  .edge path { stroke: #8b949e; }
  .edge polygon { fill: #8b949e; }
  .edge rect { fill: #0d1117; }
  .edge text { fill: #9da7b3; }
  .carried path { stroke: #f0883e; }
  .carried polygon { fill: #f0883e; }
  .carried text { fill: #ffa657; }
}
"""


def to_svg(picture: Picture, *, name: str) -> str:
    """The whole file's text.

    Args:
        picture: what to draw.
        name: of the model, for people who cannot see the picture.

    Raises:
        RnnEdgeError: the package that brings Graphviz is not installed.
    """
    layout = lay_out(
        picture,
        {box.key: _box_size(box) for box in picture.boxes},
        {
            frame: Size(text_width(frame, _DETAIL, monospace=True), _LINE)
            for frame in picture.frames()
        },
        {edge: _label_size(edge) for edge in picture.edges if edge.label},
    )
    width, height = layout.size.width + 2 * _MARGIN, layout.size.height + 2 * _MARGIN
    root = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"{-_MARGIN:g} {-_MARGIN:g} {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
    )
    ET.SubElement(root, "title").text = name
    ET.SubElement(root, "style").text = _STYLE
    _rect(root, Area(-_MARGIN, -_MARGIN, width, height), 0, "page")
    _draw(root, picture, layout)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _draw(root: ET.Element, picture: Picture, layout: Layout) -> None:
    for frame, area in layout.frames.items():
        _rect(root, area, 10, "frame")
        _text(root, Point(area.x + 12, area.y + 18), frame, "frame-name path")
    for edge, route in zip(picture.edges, layout.routes, strict=True):
        is_loop = edge.source == edge.target
        _edge(root, edge, _loop(layout.boxes[edge.source], route) if is_loop else route)
    for box in picture.boxes:
        _box(root, box, layout.boxes[box.key])


def _box(root: ET.Element, box: Box, area: Area) -> None:
    group = ET.SubElement(root, "g", {"class": box.kind})
    ET.SubElement(group, "title").text = box.title
    round_ends = box.kind in ("input", "output")
    _rect(group, area, area.height / 2 if round_ends else 6)
    lines = _lines(box)
    first = area.y + (area.height - _LINE * len(lines)) / 2 + 0.75 * _LINE
    for number, line in enumerate(lines):
        kind = "" if number else ("title" if box.kind == "step" else "title path")
        _text(group, Point(area.x + area.width / 2, first + number * _LINE), line, kind)


def _edge(root: ET.Element, edge: Edge, route: Route) -> None:
    group = ET.SubElement(root, "g", {"class": "edge carried" if edge.is_state else "edge"})
    start, *rest = (f"{point.x:g},{point.y:g}" for point in route.curve)
    ET.SubElement(group, "path", d=f"M{start}C{' '.join(rest)}")
    ET.SubElement(group, "polygon", points=_head(route.curve[-1], route.tip))
    if route.label is not None:
        size, middle = _label_size(edge), route.label
        area = Area(middle.x - size.width / 2, middle.y - size.height / 2, size.width, size.height)
        _rect(group, area, 4)
        for number, line in enumerate(edge.label.split("\n")):
            y = area.y + 3 + (number + 0.78) * _LABEL_LINE
            _text(group, Point(middle.x, y), line, "")


def _loop(box: Area, route: Route) -> Route:
    """A rounder way back into a box than Graphviz's, in the room that it left for one."""
    right, middle = box.x + box.width, box.y + box.height / 2
    out, end = Point(right, middle - _LOOP.height), Point(right + 5, middle + _LOOP.height - 1)
    far = right + _LOOP.width
    curve = (out, Point(far, out.y - 4), Point(far, end.y + 5), end)
    return Route(curve, Point(right, middle + _LOOP.height - 2), route.label)


def _head(base: Point, tip: Point) -> str:
    """The corners of an arrow's head that points from `base` to `tip`."""
    x, y = tip.x - base.x, tip.y - base.y
    length = (x * x + y * y) ** 0.5 or 1.0
    x, y = x / length, y / length
    back = Point(tip.x - x * _HEAD.height, tip.y - y * _HEAD.height)
    half = _HEAD.width / 2
    corners = (
        tip,
        Point(back.x - y * half, back.y + x * half),
        Point(back.x + y * half, back.y - x * half),
    )
    return " ".join(f"{corner.x:.2f},{corner.y:.2f}" for corner in corners)


def _lines(box: Box) -> list[str]:
    """The title, then the details, broken where they are long."""
    return [box.title, *(line for text in box.details for line in wrap(text, _LETTERS))]


def _box_size(box: Box) -> Size:
    title, *details = _lines(box)
    widths = [text_width(title, _TITLE, bold=True, monospace=box.kind != "step")]
    widths += [text_width(line, _DETAIL) for line in details]
    height = _LINE * len(widths) + 2 * _PADDING.height
    # Round ends take their room from the line nearest to them.
    ends = height / 3 if box.kind in ("input", "output") else 0
    return Size(max(widths) + 2 * _PADDING.width + ends, height)


def _label_size(edge: Edge) -> Size:
    lines = edge.label.split("\n")
    width = max(text_width(line, _LABEL, bold=True) for line in lines)
    return Size(width + 8, len(lines) * _LABEL_LINE + 4)


def _rect(parent: ET.Element, area: Area, radius: float, kind: str = "") -> None:
    corner = {"x": area.x, "y": area.y, "width": area.width, "height": area.height, "rx": radius}
    texts = {key: f"{value:.2f}" for key, value in corner.items()}
    ET.SubElement(parent, "rect", texts | ({"class": kind} if kind else {}))


def _text(parent: ET.Element, at: Point, text: str, kind: str) -> None:
    places = {"x": f"{at.x:.2f}", "y": f"{at.y:.2f}"}
    ET.SubElement(parent, "text", places | ({"class": kind} if kind else {})).text = text
