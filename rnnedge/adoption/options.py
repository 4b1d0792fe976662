"""What a user says about a file: pairs, axes, values, as they are written on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from rnnedge.adoption.errors import AdoptionError
from rnnedge_runtime.contract import BATCH, TIME, Dim
from rnnedge_runtime.dims import is_dim, split_dim

Array: TypeAlias = npt.NDArray[np.generic]
Value: TypeAlias = float | Array

_TYPED = re.compile(r"(?:[a-z]+[0-9]*)?\s*\[(?P<dims>[^\[\]]*)\]")
_AXES = 'write it like "x: batch, time, 80"'


def parse_pairs(texts: Sequence[str], flag: str, example: str) -> dict[str, str]:
    """Reads ``name=value`` texts; a name may hold anything but an equals sign.

    Raises:
        AdoptionError: one does not parse, or names a tensor for a second time.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise AdoptionError(f"{text!r} is not {example}", where=flag, fix=f"write {example}")
        if name in pairs:
            raise AdoptionError(f"{name!r} is given twice", where=flag, fix="give it once")
        pairs[name] = value
    return pairs


def parse_axes(texts: Sequence[str]) -> dict[str, tuple[Dim, ...]]:
    """Reads ``x: batch, time, 80`` or ``x: float32[batch, 512*time]``.

    Raises:
        AdoptionError: one does not parse, or an axis is neither a size, batch nor time.
    """
    found: dict[str, tuple[Dim, ...]] = {}
    for text in texts:
        name, colon, dims = (part.strip() for part in text.rpartition(":"))
        if not (name and colon):
            raise AdoptionError(f"{text!r} names no tensor", where="--axes", fix=_AXES)
        if name in found:
            raise AdoptionError(f"{name!r} is given twice", where="--axes", fix="give it once")
        typed = _TYPED.fullmatch(dims)
        words = (typed["dims"] if typed else dims).split(",")
        shape = tuple(_dim(word.strip(), name) for word in words if word.strip())
        for symbol in (BATCH, TIME):
            if sum(isinstance(d, str) and split_dim(d)[1] == symbol for d in shape) > 1:
                raise AdoptionError(
                    f"{symbol!r} stands twice in {text!r}", where=f"--axes {name}", fix=_AXES
                )
        found[name] = shape
    return found


def _dim(word: str, name: str) -> Dim:
    dim: Dim = int(word) if word.isdigit() else word
    if is_dim(dim) and (isinstance(dim, int) or split_dim(dim)[1] in (BATCH, TIME)):
        return dim
    raise AdoptionError(
        f"{word!r} is neither a size, nor {BATCH!r}, {TIME!r} or a multiple such as '512*{TIME}'",
        where=f"--axes {name}",
        fix=_AXES,
    )


def parse_values(texts: Sequence[str], flag: str) -> dict[str, Value]:
    """Reads ``name=16000``, ``name=[1, 2]`` or ``name=start.npy``.

    Raises:
        AdoptionError: a value is no number, list of numbers or readable ``.npy`` file.
    """
    pairs = parse_pairs(texts, flag, "NAME=NUMBER")
    return {name: _value(text, f"{flag} {name}") for name, text in pairs.items()}


def parse_counts(texts: Sequence[str], flag: str) -> dict[str, int]:
    """Reads ``name=64``.

    Raises:
        AdoptionError: a value is no whole number above 0.
    """
    pairs = parse_pairs(texts, flag, "NAME=64")
    for name, text in pairs.items():
        if not (text.isdecimal() and int(text) > 0):
            raise AdoptionError(
                f"{text!r} is no whole number above 0", where=f"{flag} {name}", fix="write NAME=64"
            )
    return {name: int(text) for name, text in pairs.items()}


def _value(text: str, where: str) -> Value:
    if text.endswith(".npy"):
        return _from_file(Path(text), where)
    try:
        array: Array = np.array(json.loads(text))
    except ValueError as error:  # no JSON, or a ragged list
        raise _no_value(text, where) from error
    if array.dtype.kind not in "biuf":
        raise _no_value(text, where)
    return array


def _from_file(path: Path, where: str) -> Array:
    try:
        array: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AdoptionError(
            f"the array cannot be read ({error})",
            where=f"{where}, {path}",
            fix="write it with np.save",
        ) from error
    return array


def _no_value(text: str, where: str) -> AdoptionError:
    return AdoptionError(
        f"{text!r} is no number", where=where, fix="give a number, or a .npy file made by np.save"
    )
