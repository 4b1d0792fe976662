"""Draws a model file: reads it, chooses the depth, writes the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from rnnedge.report.graph import load_model, read_contract
from rnnedge.report.picture.build import Network
from rnnedge.report.picture.mermaid import to_mermaid
from rnnedge_runtime.errors import RnnEdgeError

STANDARD_STREAM = Path("-")


@dataclass(frozen=True)
class Drawing:
    """What was drawn.

    Attributes:
        path: where it goes; ``-`` for stdout.
        text: the picture itself, SVG or Mermaid.
        boxes: how many there are, inputs and outputs among them.
        depth: how many parts of a module's path were looked at; `deepest` shows all there is.
        has_contract: whether the file says which of its inputs are states.
    """

    path: Path
    text: str
    boxes: int
    depth: int
    deepest: int
    has_contract: bool

    def to_dict(self) -> Mapping[str, Any]:
        """All but the picture itself."""
        return {
            "path": str(self.path),
            "boxes": self.boxes,
            "depth": self.depth,
            "deepest": self.deepest,
        }

    def to_rich(self) -> Text:
        """Where it is, and whether there is more to see."""
        some = f", depth {self.depth} of {self.deepest}" if self.depth < self.deepest else ""
        return Text(f"wrote {self.path}, {self.boxes} boxes{some}")

    def to_line(self) -> str:
        """Where it is."""
        return str(self.path)


def check_kind(path: Path) -> None:
    """Refuses a file name whose kind of picture is not drawn.

    Raises:
        RnnEdgeError: it ends neither in ``.svg`` nor in ``.mmd``, and is not ``-``.
    """
    if path != STANDARD_STREAM and path.suffix.lower() not in (".svg", ".mmd"):
        found = f"a {path.suffix!r} file" if path.suffix else "a file of no kind"
        raise RnnEdgeError(
            f"pictures are .svg or .mmd (Mermaid) files, got {found}",
            where=f"--graph {path}",
            fix="name a file that ends in .svg or .mmd, or give - for Mermaid text on stdout",
        )


def draw(file: Path, path: Path, *, depth: int | None = None, framed: bool = True) -> Drawing:
    """Draws the model in `file` as the kind of picture that `path` names; writes nothing.

    Args:
        file: an ONNX file, with or without a contract.
        path: ``.svg``, ``.mmd``, or ``-`` for Mermaid text.
        depth: how many parts of a module's path to look at; None for as many as stay readable.
        framed: with frames around the modules of one parent.

    Raises:
        ModelFileError: the file is missing, truncated, or not ONNX.
        ContractError: its contract is damaged or of a newer version.
        RnnEdgeError: the picture's kind is unknown, or an SVG is asked for without Graphviz.
    """
    check_kind(path)
    model = load_model(file)
    contract = read_contract(model)
    network = Network(model, contract)
    chosen = network.readable_depth() if depth is None else min(depth, network.deepest)
    picture = network.picture(chosen, framed=framed)
    if path.suffix.lower() == ".svg":
        from rnnedge.report.picture.svg import to_svg

        text = to_svg(picture, name=file.stem)
    else:
        text = to_mermaid(picture)
    return Drawing(path, text, len(picture.boxes), chosen, network.deepest, contract is not None)
