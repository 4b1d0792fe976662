"""What adopting or lifting made: the file, its ports and states, and what was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from rnnedge.report.contract import contract_dict, contract_tables
from rnnedge.report.tables import new_table

if TYPE_CHECKING:
    from rnnedge.adoption import Adopted


class AdoptionSummary:
    """What `rnnedge adopt` and `rnnedge lift` print."""

    def __init__(self, adopted: Adopted, path: Path) -> None:
        self._adopted = adopted
        self._path = path

    def to_dict(self) -> Mapping[str, Any]:
        """The contract as stored, the checks, and what was added to the graph."""
        return {
            "path": str(self._path),
            "contract": contract_dict(self._adopted.contract),
            "checks": [asdict(check) for check in self._adopted.checks],
            "notes": list(self._adopted.notes),
        }

    def to_rich(self) -> RenderableType:
        """Ports, states, checks, and the file's name."""
        checks = new_table("check", "", "detail", title="beside the original: the same stream")
        for check in self._adopted.checks:
            checks.add_row(Text(check.name), Text("ok", style="green"), Text(check.detail))
        notes = [Text(note) for note in self._adopted.notes]
        tables = contract_tables(self._adopted.contract)
        return Group(*tables, checks, *notes, Text(f"wrote {self._path}"))

    def to_line(self) -> str:
        """The path of the file."""
        return str(self._path)
