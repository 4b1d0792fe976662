"""The tables of docs/published.md, from rows of a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

STREAMS = ("network", "source", "streams", "states", "delay", "output / input", "chunk", "error")
REFUSED = ("network", "source", "where", "reason", "what would work")


class Row(Protocol):
    """What `run.py` finds of one network."""

    name: str
    source: str
    streams: str
    cells: tuple[str, ...]
    note: str
    where: str
    fix: str


def tables(rows: Sequence[Row]) -> str:
    """What streams, and below it what is refused, in Markdown."""
    streams = [
        (f"`{row.name}`", row.source, row.streams, *row.cells)
        for row in rows
        if row.streams not in ("refused", "skipped")
    ]
    refused = [
        (f"`{row.name}`", row.source, _place(row.where), _reason(row.note), row.fix)
        for row in rows
        if row.streams == "refused"
    ]
    return f"{_table(STREAMS, streams)}\n\n{_table(REFUSED, refused)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruled = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in row)} |" for row in ruled)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _reason(what: str) -> str:
    return what.removeprefix("this cannot stream: ")


def _place(where: str) -> str:
    """Module and line, without the line's text."""
    module = re.search(r"module '([^']+)' \((\w+)\)", where)
    line = re.search(r"(\w+\.py:\d+)", where)
    parts = [f"`{module[1]}` ({module[2]})"] if module else []
    return ", ".join([*parts, line[1]] if line else parts) or where
