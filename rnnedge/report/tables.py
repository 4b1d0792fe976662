"""The one look that all tables have."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text


def new_table(*columns: str, title: str | None = None) -> Table:
    """A table with a rule under its header and no other lines."""
    return Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def new_list(facts: Iterable[tuple[str, str]] = ()) -> Table:
    """Names and values, without header and lines; what is in a value is not markup."""
    table = Table.grid(padding=(0, 3, 0, 0))
    for name, text in facts:
        table.add_row(name, Text(text))
    return table
