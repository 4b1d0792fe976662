"""Sizes and symbols: ``2``, ``"batch"``, ``"time"``, ``"33*batch"``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

BATCH = "batch"
TIME = "time"

Dim: TypeAlias = int | str
"""A size, or a symbol: ``"batch"``, ``"time"``, or a whole multiple such as ``"33*batch"``."""

MAX_SIZE = 2**31 - 1

_SYMBOL = re.compile(r"(?:([1-9][0-9]{0,8})\*)?([A-Za-z_][A-Za-z0-9_]*)")


def is_dim(value: object) -> bool:
    """Whether `value` can stand in a shape."""
    if isinstance(value, str):
        return _SYMBOL.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SIZE


@lru_cache(maxsize=1024)  # asked for with every push, of the few symbols that a contract has
def split_dim(dim: str) -> tuple[int, str]:
    """The factor and the symbol: ``"33*batch"`` is (33, ``"batch"``).

    Raises:
        ValueError: `dim` is not a symbol or a multiple of one.
    """
    match = _SYMBOL.fullmatch(dim)
    if match is None:
        raise ValueError(f"{dim!r} is neither a symbol nor a whole multiple of one")
    return int(match[1] or 1), match[2]


def dim_factor(dim: Dim, symbol: str) -> int:
    """How often `symbol` counts in `dim`: 1 for ``"batch"``, 33 for ``"33*batch"``, else 0."""
    if isinstance(dim, int) or _SYMBOL.fullmatch(dim) is None:
        return 0
    factor, found = split_dim(dim)
    return factor if found == symbol else 0
