"""Shapes with named axes, as users write them: ``x: float32[batch, time, 80]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnedge_exporters.errors import SpecError
from rnnedge_runtime.contract import BATCH, DTYPES, TIME, Dim

_TENSOR = re.compile(r"(?P<dtype>[a-z]+[0-9]*)\s*\[(?P<dims>[^\[\]]*)\]")
_NAMED = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*:\s*(?P<spec>.+?)\s*", re.DOTALL)
_EXAMPLE = 'write it like "x: float32[batch, time, 80]"'


@dataclass(frozen=True)
class TensorSpec:
    """An element type (numpy's name) and one size or symbol per axis."""

    dtype: str
    shape: tuple[Dim, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The element type as torch knows it."""
        dtype = getattr(torch, self.dtype)
        assert isinstance(dtype, torch.dtype)  # noqa: S101 - DTYPES holds only such names
        return dtype

    def axis(self, symbol: str) -> int | None:
        """Where `symbol` stands in the shape."""
        return self.shape.index(symbol) if symbol in self.shape else None

    def zeros(self, sizes: Mapping[str, int]) -> Tensor:
        """An example of the spec, every element zero."""
        shape = [dim if isinstance(dim, int) else sizes[dim] for dim in self.shape]
        return torch.zeros(shape, dtype=self.torch_dtype)


def parse_tensor(text: str, *, where: str) -> TensorSpec:
    """Reads ``float32[batch, time, 80]``.

    Raises:
        SpecError: it does not parse, or names an element type or symbol that is not known.
    """
    match = _TENSOR.fullmatch(text.strip())
    if match is None:
        raise SpecError(f"{text!r} is not a tensor specification", where=where, fix=_EXAMPLE)
    if match["dtype"] not in DTYPES:
        raise SpecError(
            f"unknown element type {match['dtype']!r}",
            where=where,
            fix=f"use one of {', '.join(DTYPES)}",
        )
    dims = tuple(_parse_dim(dim.strip(), where) for dim in match["dims"].split(",") if dim.strip())
    for symbol in (BATCH, TIME):
        if dims.count(symbol) > 1:
            raise SpecError(f"{symbol!r} stands twice in {text!r}", where=where, fix=_EXAMPLE)
    return TensorSpec(match["dtype"], dims)


def parse_named(text: str, *, flag: str) -> tuple[str, str]:
    """Divides ``name: specification``.

    Raises:
        SpecError: there is no name before a colon.
    """
    match = _NAMED.fullmatch(text)
    if match is None:
        raise SpecError(f"{text!r} names no argument of forward", where=flag, fix=_EXAMPLE)
    return match["name"], match["spec"]


def parse_inputs(texts: Mapping[str, str] | Sequence[str]) -> dict[str, TensorSpec]:
    """Reads input specs, from ``{"x": "float32[...]"}`` or ``["x: float32[...]"]``."""
    pairs = (
        list(texts.items())
        if isinstance(texts, Mapping)
        else [parse_named(text, flag="--input") for text in texts]
    )
    if not pairs:
        raise SpecError(
            "no input is given", where="--input", fix='give one: "x: float32[batch, time, 80]"'
        )
    inputs: dict[str, TensorSpec] = {}
    for name, text in pairs:
        if name in inputs:
            raise SpecError(f"input {name!r} is given twice", where="--input", fix="give it once")
        inputs[name] = parse_tensor(text, where=f"--input {name}")
    return inputs


def _parse_dim(text: str, where: str) -> Dim:
    if text.isdigit() and int(text) > 0:
        return int(text)
    if text in (BATCH, TIME):
        return text
    raise SpecError(
        f"{text!r} is neither a size nor one of the axes {BATCH!r} and {TIME!r}",
        where=where,
        fix=f"{_EXAMPLE}: sizes above zero, and the two axes that stay free by name",
    )
