"""A parity report, check by check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rnnedge.report.tables import new_table

if TYPE_CHECKING:
    from rnnedge.parity import ParityReport


class ParitySummary:
    """What `rnnedge verify` prints."""

    def __init__(self, report: ParityReport) -> None:
        self._report = report

    def to_dict(self) -> Mapping[str, Any]:
        """The report's own form, as it is stored in the file."""
        return self._report.to_dict()

    def to_rich(self) -> RenderableType:
        """One row per check; and where the two part, if that was asked."""
        table = parity_table(self._report)
        explanation = self._report.explanation
        if explanation is None:
            return table
        return Group(table, Text(""), *map(Text, explanation.lines()))

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
    table.caption, table.caption_justify = _caption(report), "left"
    return table


def _caption(report: ParityReport) -> str:
    settings = report.settings
    batches = ", ".join(map(str, settings["batches"]))
    return (
        f"each for batches of {batches} and {settings['frames']} frames, seed {settings['seed']}, "
        f"on {report.provider}"
    )
