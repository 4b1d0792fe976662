"""The one look that all tables have."""

from __future__ import annotations

from rich import box
from rich.table import Table


def new_table(*columns: str, title: str | None = None) -> Table:
    """A table with a rule under its header and no other lines."""
    return Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def new_list() -> Table:
    """Names and values, without header and lines."""
    return Table.grid(padding=(0, 3, 0, 0))
