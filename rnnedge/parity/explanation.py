"""Where a file and a module differ first, for people and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Difference:
    """The first tensor that differs.

    Attributes:
        stage: ``streaming``: the streaming program is not the module's function. ``export``: the
            ONNX graph is not the streaming program's, in a fresh export either. ``file``: this file
            is not what an export of the module gives.
        tensor: its name, in the streaming program or in the ONNX graph.
        module: path of the module that makes it; empty for the root.
        where: that module, its class, the user's line, and the operator.
        onnx_node: that makes it, ``a/Conv (Conv)``, or several in a row; empty for ``streaming``.
        detail: by how much.
    """

    stage: Literal["streaming", "export", "file"]
    tensor: str
    module: str
    where: str
    onnx_node: str
    detail: str

    def lines(self) -> list[str]:
        """For a person."""
        what = {
            "streaming": "the streaming passes go wrong first in",
            "export": "the export to ONNX goes wrong first in",
            "file": "the file differs from the module first in",
        }[self.stage]
        made = [f"  made by: {self.onnx_node}"] if self.onnx_node else []
        return [f"{what} {self.tensor!r}: {self.detail}", f"  where: {self.where}", *made]


@dataclass(frozen=True)
class Cause:
    """Something that the file holds, and an export of the module does not.

    Attributes:
        kind: what differs.
        name: of it in the file.
        module: path of the module that it belongs to, as far as its name says.
        text: what is to be told.
    """

    kind: Literal["weight", "initial state", "node", "contract"]
    name: str
    module: str
    text: str


@dataclass(frozen=True)
class Explanation:
    """What comparing tensor by tensor found.

    Attributes:
        first: the first tensor that differs; None when none does.
        causes: what differs between the file and an export of the module.
        compared_streaming: tensors of the streaming program that were compared with the module's.
        compared_file: tensors inside the file that were compared with the streaming program's.
        obstacle: why no more could be compared; empty when all was.
    """

    first: Difference | None
    causes: tuple[Cause, ...]
    compared_streaming: int
    compared_file: int
    obstacle: str = ""

    @property
    def module(self) -> str | None:
        """The path of the module to look at; None when nothing was found."""
        if self.first is not None:
            return self.first.module
        return self.causes[0].module if self.causes else None

    def lines(self) -> list[str]:
        """For a person."""
        lines = [] if self.first is None else self.first.lines()
        lines += [cause.text for cause in self.causes]
        if self.first is not None and self.first.stage != "file":
            lines.append("please report this with the module: it is a bug of rnnedge")
        if self.obstacle:
            lines.append(f"not all could be compared: {self.obstacle}")
        if not lines:
            lines.append("no tensor differs, and the file is what an export of the module gives")
        lines.append(
            f"compared: {self.compared_streaming} tensors of the streaming program with the "
            f"module's, {self.compared_file} inside the file with the streaming program's"
        )
        return lines

    def to_dict(self) -> Mapping[str, Any]:
        """For JSON."""
        return {
            "first": None if self.first is None else asdict(self.first),
            "module": self.module,
            "causes": [asdict(cause) for cause in self.causes],
            "compared_streaming_tensors": self.compared_streaming,
            "compared_file_tensors": self.compared_file,
            "obstacle": self.obstacle or None,
        }

    def __str__(self) -> str:
        return "\n".join(self.lines())
