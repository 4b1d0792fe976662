"""What is drawn, before anyone decides where or how: boxes, edges, frames around boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

BoxKind: TypeAlias = Literal["module", "step", "input", "output", "state"]


@dataclass(frozen=True)
class Box:
    """One thing in the picture.

    Attributes:
        key: tells it from all others; not shown.
        kind: ``module`` for a module of the network or several of them, ``step`` for an operator
            that a module applies by itself (a join, an attention product), ``input``, ``output``,
            or ``state`` for one that belongs to no box.
        title: its name.
        details: lines below the name.
        frame: the name of the frame that it stands in; empty for none.
    """

    key: str
    kind: BoxKind
    title: str
    details: tuple[str, ...] = ()
    frame: str = ""


@dataclass(frozen=True)
class Edge:
    """An arrow between two boxes, by their keys.

    Attributes:
        label: what is written on it, in one line or more; empty for nothing.
        is_state: carries a state to the next run; a loop where it ends in the box it starts from.
    """

    source: str
    target: str
    label: str = ""
    is_state: bool = False


@dataclass(frozen=True)
class Picture:
    """Boxes in the order of the data, and the edges between them."""

    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]

    def frames(self) -> dict[str, tuple[Box, ...]]:
        """The boxes of each frame, by its name."""
        found: dict[str, tuple[Box, ...]] = {}
        for box in self.boxes:
            if box.frame:
                found[box.frame] = (*found.get(box.frame, ()), box)
        return found
