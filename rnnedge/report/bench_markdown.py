"""A benchmark as Markdown, for a README or a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rnnedge.report.bench import COLUMNS, head, number, rows, sweeps, tail

if TYPE_CHECKING:
    from rnnedge.benchmark.result import BenchReport


def to_markdown(report: BenchReport) -> str:
    """The same as the table on a terminal."""
    parts = [f"# {_cell(report.called.file)}, measured", _list(head(report))]
    parts.append(_table(COLUMNS, rows(report)))
    for title, points in sweeps(report):
        calls = [number(point.timings.p50_us) for point in points.values()]
        frames = [number(point.us_per_frame) for point in points.values()]
        lines = (["µs per call", *calls], ["µs per frame and row", *frames])
        parts.append(_table([title, *points], lines))
    parts.append(_list(tail(report)))
    return "\n\n".join(parts) + "\n"


def _list(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"* **{_cell(name)}**: {_cell(text)}" for name, text in facts)


def _table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """The first column is text, the others are numbers."""
    rule = ["---", *["--:"] * (len(columns) - 1)]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in (columns, rule, *lines))


def _cell(text: str) -> str:
    """What a name of a file or a message holds must not end a cell or become a tag."""
    for special in "\\|*`<":
        text = text.replace(special, f"\\{special}")
    return text
