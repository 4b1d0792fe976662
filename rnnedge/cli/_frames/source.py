"""Chooses how to read the frames, by the name they were given under."""

from __future__ import annotations

from pathlib import Path

from rnnedge.cli._frames.from_arrays import array_source, load_arrays
from rnnedge.cli._frames.from_sound import SUFFIXES, sound_source
from rnnedge.cli._frames.from_stdin import stdin_source
from rnnedge.cli._frames.ports import Source, only_input
from rnnedge.cli._output import STANDARD_STREAM
from rnnedge_runtime.contract import Contract
from rnnedge_runtime.errors import InputError


def open_source(path: Path, contract: Contract, batch: int | None) -> Source:
    """Finds out what `path` holds, and checks that it can be an input of the model.

    Args:
        path: a file, or ``-`` for raw bytes on stdin.
        contract: of the model.
        batch: streams side by side; None to take what the file has, or 1 for raw bytes.

    Raises:
        InputError: it is missing, of an unknown kind, damaged, or does not fit.
    """
    if path == STANDARD_STREAM:
        return stdin_source(only_input(contract, "stdin"), batch or 1)
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), fix="check the path")
    source = _file_source(path, contract)
    if batch is not None and batch != source.batch:
        raise InputError(
            f"--batch says {batch}, the file has {source.batch}",
            where=str(path),
            fix="leave --batch away: it is for raw bytes, which cannot tell",
        )
    return source


def _file_source(path: Path, contract: Contract) -> Source:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return sound_source(path, only_input(contract, str(path)), contract.signal)
    if suffix in (".npy", ".npz"):
        return array_source(load_arrays(path, contract), contract, path)
    raise InputError(
        f"files named *{suffix} cannot be read" if suffix else "the file's name has no suffix",
        where=str(path),
        fix=f"give .npy, .npz or {', '.join(SUFFIXES)}, or raw bytes on stdin with '-'",
    )
