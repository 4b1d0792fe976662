"""What tuning tried and chose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from rnnedge.report.tables import new_table
from rnnedge.report.units import bytes_text

if TYPE_CHECKING:
    from rnnedge.tuning import TuneReport


class TuneSummary:
    """What `rnnedge tune` prints."""

    def __init__(self, report: TuneReport, path: Path) -> None:
        self._report = report
        self._path = path

    def to_dict(self) -> Mapping[str, Any]:
        """The path, and everything that was tried."""
        return {"path": str(self._path), **self._report.to_dict()}

    def to_rich(self) -> RenderableType:
        """One line per form, and the choice."""
        table = new_table("form", "µs a push", "times faster", "differs by", "SNR", "file", "")
        own = self._report.tried[0].p50_us
        for one in self._report.tried:
            timed = one.p50_us is not None and own is not None
            table.add_row(
                Text(one.name, style="bold" if one.name == self._report.chosen else ""),
                f"{one.p50_us:.1f}" if timed else "",
                f"{(own or 0) / (one.p50_us or 1):.2f}" if timed else "",
                "" if one.worst is None else f"{one.worst:.1e}",
                "" if one.snr_db is None else f"{one.snr_db:.0f} dB",
                "" if one.size_bytes is None else bytes_text(one.size_bytes),
                Text(one.left_out, style="dim"),
            )
        return Group(table, Text(self._verdict()), Text(f"wrote {self._path}"))

    def to_line(self) -> str:
        """The path of the file."""
        return str(self._path)

    def _verdict(self) -> str:
        report = self._report
        if not report.is_changed:
            return "nothing is surely faster than the file as it is"
        given = ", ".join(f"{key}={value}" for key, value in report.choice.settings.items())
        told = f"; load it with {given}" if given else ""
        return f"{report.chosen}: {report.speedup:.2f} times faster beside it alone{told}"
