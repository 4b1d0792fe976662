"""What a user says of states: ``hidden: float32[2, batch, 64] -> 1``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils import _pytree as pytree

from rnnedge_exporters.errors import SpecError
from rnnedge_exporters.specs import TensorSpec, parse_named, parse_tensor

_HINT = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*(?::(?P<spec>.*?))?(?:->\s*(?P<path>[\w.]+)\s*)?")
_HOW = 'say it with --state "hidden: float32[2, batch, 64] -> 1" (argument: tensors -> result)'

Path = tuple[int | str, ...]


@dataclass(frozen=True)
class Hint:
    """What the user said of one state; None where nothing."""

    parameter: str
    example: Any = None
    path: Path | None = None

    def given(self, sizes: Mapping[str, int]) -> Any:
        """An example of the argument, all zeros; None where nothing was said of it."""
        return pytree.tree_map_only(TensorSpec, lambda spec: spec.zeros(sizes), self.example)


def read_hints(texts: Sequence[str], parameters: Mapping[str, object]) -> dict[str, Hint]:
    """Reads what is said of states, by argument.

    Raises:
        SpecError: it does not parse, or forward has no such argument.
    """
    hints = [_read(text, parameters) for text in texts]
    return {hint.parameter: hint for hint in hints}


def _read(text: str, parameters: Mapping[str, object]) -> Hint:
    match = _HINT.fullmatch(text)
    if match is None:
        raise SpecError(f"{text!r} does not parse", where="--state", fix=_HOW)
    name = match["name"]
    if parameters and name not in parameters:
        raise SpecError(
            f"forward has no argument {name!r}",
            where=f"--state {text}",
            fix=f"its arguments are: {', '.join(parameters)}",
        )
    example = parse_nested(match["spec"], where=f"--state {name}") if match["spec"] else None
    path = None
    if match["path"]:
        path = tuple(int(key) if key.isdigit() else key for key in match["path"].split("."))
    return Hint(name, example, path)


def parse_nested(text: str, *, where: str) -> Any:
    """Reads ``(float32[1, batch, 8], {gru: float32[1, batch, 8]})``; tuples and dicts nest.

    Raises:
        SpecError: it does not parse.
    """
    text = text.strip()
    if text[:1] not in ("(", "{"):
        return parse_tensor(text, where=where)
    if not text.endswith({"(": ")", "{": "}"}[text[0]]):
        raise SpecError(f"{text!r} lacks a closing bracket", where=where, fix=_HOW)
    parts = _divide(text[1:-1])
    if text[0] == "(":
        return tuple(parse_nested(part, where=where) for part in parts)
    pairs = (parse_named(part, flag=where) for part in parts)
    return {key: parse_nested(part, where=where) for key, part in pairs}


def _divide(inner: str) -> list[str]:
    """Splits at the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(inner + ","):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(inner[start:i])
            start = i + 1
    return [part for part in parts if part.strip()]


def unsettled(names: Sequence[str], why: str) -> SpecError:
    """The error to raise when it is not clear which result follows which state."""
    shown = ", ".join(names)
    return SpecError(
        f"it is not clear what forward does with {shown}: {why}",
        where=f"forward's arguments: {shown}",
        fix=f'{_HOW}, or, if it is data, with --input "{names[0]}: ..."',
    )
