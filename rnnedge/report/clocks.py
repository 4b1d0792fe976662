"""How each tensor of a network runs with time, as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.table import Table
from rich.text import Text

from rnnedge.report.graph import load_model
from rnnedge.report.tables import new_table
from rnnedge.report.units import shape_text
from rnnedge_runtime.contract import CLOCKS_KEY
from rnnedge_runtime.errors import RnnEdgeError

if TYPE_CHECKING:
    from rnnedge_exporters import Analysis

VERSION = 1
"""Of the metadata."""
_CAPTION = (
    "Emission j of a tensor in the stream is frame j - delay of the whole sequence's; "
    "T is the number of input frames."
)


class ClocksError(RnnEdgeError):
    """The file does not tell its clocks."""


@dataclass(frozen=True)
class ClockTable:
    """What `rnnedge inspect --clocks` prints.

    Attributes:
        rows: by column; without ``line`` where they come from a file.
        refusal: what, where and how to fix it, if the module cannot stream.
    """

    rows: tuple[Mapping[str, Any], ...]
    refusal: Mapping[str, str] | None = None

    @classmethod
    def of_analysis(cls, analysis: Analysis) -> ClockTable:
        """Those of a module."""
        error = analysis.refusal
        told = None if error is None else {"what": error.what, "where": error.where}
        if told is not None and error is not None:
            told["fix"] = error.fix
        return cls(tuple(asdict(row) for row in analysis.rows), told)

    @classmethod
    def of_file(cls, path: Path) -> ClockTable:
        """Those that were stored at export; needs neither torch nor onnxruntime.

        Raises:
            ModelFileError: the file is missing or not ONNX.
            ClocksError: it holds no clocks, or they are damaged.
        """
        for entry in load_model(path).metadata_props:
            if entry.key == CLOCKS_KEY:
                return cls(_read(entry.value, path))
        raise ClocksError(
            "the file does not say how its tensors run with time",
            where=f"{path}, metadata {CLOCKS_KEY!r}",
            fix="give the module itself with --input, or export it again with this release; "
            "files in sequence mode and adopted ones have no clocks",
        )

    def to_dict(self) -> Mapping[str, Any]:
        """The rows, and why the module cannot stream, null if it can."""
        rows = [{**row, "shape": list(row["shape"])} for row in self.rows]
        return {"clocks": rows, "refusal": self.refusal}

    def to_rich(self) -> Table:
        """One row per tensor with time."""
        has_lines = any("line" in row for row in self.rows)
        columns = ["module", "operator", "shape", "rate", "delay", "length", "flow", "plan"]
        table = new_table(*columns, *(["line"] if has_lines else []))
        for row in self.rows:
            table.add_row(*map(Text, _cells(row)), *([Text(row["line"])] if has_lines else []))
        table.caption, table.caption_justify = _CAPTION, "left"
        return table

    def to_line(self) -> str:
        """Whether it can stream."""
        return "streams" if self.refusal is None else "refused"


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    delay = "" if row["delay"] is None else str(row["delay"])
    flow = f"{row['flow']}, {row['edges']}" if row["edges"] else row["flow"]
    head = (row["module"], row["operator"], shape_text(tuple(row["shape"])))
    return (*head, row["rate"], delay, row["length"], flow, row["plan"])


def _read(text: str, path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        found = json.loads(text)
        version, columns = found["version"], found["columns"]
        rows = tuple(dict(zip(columns, row, strict=True)) for row in found["rows"])
        for row in rows:
            _cells(row)
    except (ValueError, KeyError, TypeError) as error:
        raise ClocksError(
            f"the clocks are damaged: {type(error).__name__}",
            where=f"{path}, metadata {CLOCKS_KEY!r}",
            fix="export the model again; if the file was edited, restore the original",
        ) from error
    if version != VERSION:
        raise ClocksError(
            f"the clocks are of version {version}, and this release reads {VERSION}",
            where=f"{path}, metadata {CLOCKS_KEY!r}",
            fix="update rnnedge",
        )
    return cast("tuple[Mapping[str, Any], ...]", rows)
