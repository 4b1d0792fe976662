"""A parity report, check by check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rnnedge.report.tables import new_table
from rnnedge.report.units import bytes_text

if TYPE_CHECKING:
    from rnnedge.parity import ParityReport


class ParitySummary:
    """What `rnnedge verify` prints."""

    def __init__(self, report: ParityReport, saved: Path | None = None) -> None:
        """`saved` is the golden file that was written, if one was."""
        self._report = report
        self._saved = saved

    def to_dict(self) -> Mapping[str, Any]:
        """The report's own form, as it is stored in the file."""
        report = self._report.to_dict()
        if self._saved is None:
            return report
        size = self._saved.stat().st_size
        return report | {"saved_golden": {"path": str(self._saved), "size_bytes": size}}

    def to_rich(self) -> RenderableType:
        """One row per check; and where the two part, if that was asked."""
        lines = []
        if self._saved is not None:
            lines.append(f"wrote {self._saved}, {bytes_text(self._saved.stat().st_size)}")
        if self._report.explanation is not None:
            lines += ["", *self._report.explanation.lines()]
        return Group(parity_table(self._report), *map(Text, lines))

    def to_line(self) -> str:
        """The verdict."""
        return "passed" if self._report.passed else "failed"


def parity_table(report: ParityReport) -> Table:
    """One row per check, the verdict as title."""
    verdict = "the same function" if report.passed else "NOT the same function"
    table = new_table("check", "", "detail", title=f"parity: {verdict}")
    for check in report.checks:
        mark = Text("ok", style="green") if check.passed else Text("failed", style="bold red")
        table.add_row(Text(check.name), mark, Text(check.detail))
    table.caption, table.caption_justify = Text("\n".join(report.circumstances)), "left"
    return table
