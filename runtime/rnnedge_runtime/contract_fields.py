"""Typed access to a contract's JSON, with the place in every error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from rnnedge_runtime.contract_rules import damaged


class Fields:
    """One JSON object.

    Every method raises ContractError where the field is missing or of another type.
    """

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise damaged(f"an object was expected, got {type(data).__name__}", where)
        self._data = data
        self._where = where

    def get(self, key: str, kind: type | tuple[type, ...], *, optional: bool = False) -> Any:
        """The value of type `kind`; None if it is `optional` and missing or null."""
        value = self._data.get(key)
        if value is None and optional:
            return None
        kinds = kind if isinstance(kind, tuple) else (kind,)
        is_stray_bool = isinstance(value, bool) and bool not in kinds
        if is_stray_bool or not isinstance(value, kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            got = "nothing" if key not in self._data else type(value).__name__
            raise damaged(f"{wanted} expected, got {got}", f"{self._where}, field {key!r}")
        return value

    def whole(self, key: str, default: int) -> int:
        """A whole number that may be left out."""
        value = self.get(key, int, optional=True)
        return default if value is None else cast("int", value)

    def list(self, key: str) -> list[Any]:
        """A list of anything."""
        return cast("list[Any]", self.get(key, list))

    def items(self, key: str) -> Iterator[tuple[object, str]]:
        """The items of a list, each with its place."""
        return ((item, f"{key}[{i}]") for i, item in enumerate(self.list(key)))

    def triples(self, key: str) -> Iterator[tuple[int, int, int]]:
        """A list of lists of three whole numbers, that may be left out."""
        for item in self.get(key, list, optional=True) or ():
            if not isinstance(item, list) or [type(number) for number in item] != [int] * 3:
                raise damaged(
                    f"{item!r} is not a step [mul, add, div]", f"{self._where}, field {key!r}"
                )
            yield item[0], item[1], item[2]

    def number(self, key: str) -> float:
        """A number as float."""
        try:
            return float(self.get(key, (int, float)))
        except OverflowError as error:
            raise damaged("the number is too large", f"{self._where}, field {key!r}") from error


def refuse_constant(name: str) -> None:
    """What to do about NaN and Infinity, which Python's reader would take."""
    raise ValueError(f"{name} is not JSON")
