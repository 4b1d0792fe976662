"""A picture as Mermaid text, which code hosting sites and documentation tools draw."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rnnedge.report.picture.model import Box, Edge, Picture

_SHAPES = {
    "module": ("[", "]"),
    "step": ("{{", "}}"),
    "input": ("([", "])"),
    "output": ("([", "])"),
    "state": ("(", ")"),
}
_SPECIAL = re.compile(r"[^\w .,:;→×/+*=()\[\]-]")


def to_mermaid(picture: Picture) -> str:
    """A flow chart from top to bottom; states are dotted arrows."""
    names = {box.key: f"b{number}" for number, box in enumerate(picture.boxes)}
    lines = ["flowchart TD"]
    lines += _boxes((box for box in picture.boxes if not box.frame), names, "    ")
    for number, (frame, boxes) in enumerate(picture.frames().items()):
        lines.append(f'    subgraph f{number}["{_text(frame)}"]')
        lines += _boxes(boxes, names, "        ")
        lines.append("    end")
    lines += [f"    {_edge(edge, names)}" for edge in picture.edges]
    return "\n".join(lines) + "\n"


def _boxes(boxes: Iterable[Box], names: Mapping[str, str], indent: str) -> list[str]:
    lines = []
    for box in boxes:
        left, right = _SHAPES[box.kind]
        title = _text(box.title)
        text = "<br/>".join([f"<b>{title}</b>" if box.details else title, *map(_text, box.details)])
        lines.append(f'{indent}{names[box.key]}{left}"{text}"{right}')
    return lines


def _edge(edge: Edge, names: Mapping[str, str]) -> str:
    arrow = "-.->" if edge.is_state else "-->"
    lines = "<br/>".join(map(_text, edge.label.split("\n")))
    label = f'|"{lines}"|' if lines else ""
    return f"{names[edge.source]} {arrow}{label} {names[edge.target]}"


def _text(text: str) -> str:
    """Mermaid's own escapes for what would end a label or start markup."""
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)
