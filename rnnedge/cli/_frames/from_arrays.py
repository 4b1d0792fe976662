"""Frames from ``.npy`` and ``.npz`` files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rnnedge.cli._frames.ports import Arrays, Source, entries_per_frame, only_input
from rnnedge.report.units import shape_text
from rnnedge_runtime.contract import Contract, Port
from rnnedge_runtime.errors import InputError


def load_arrays(path: Path, contract: Contract) -> Arrays:
    """Opens the arrays by input name; a ``.npy`` file is mapped, not read.

    Raises:
        InputError: the file is damaged, or its arrays are not the model's inputs.
    """
    if path.suffix.lower() == ".npz":
        arrays = load_archive(path)
    else:
        only = only_input(contract, str(path)).name
        try:
            arrays = {only: np.lib.format.open_memmap(path, mode="r")}
        except Exception as error:  # of header and mapping: both mean the same
            raise _unreadable(path, error) from error
    wanted = sorted(port.name for port in contract.inputs)
    if sorted(arrays) != wanted:
        raise InputError(
            f"arrays {sorted(arrays)} found, the model's inputs are {wanted}",
            where=str(path),
            fix="save one array per input, under the input's name",
        )
    return arrays


def load_archive(path: Path) -> Arrays:
    """All arrays of a ``.npz`` file, by name.

    Raises:
        InputError: the file is damaged, or holds Python objects.
    """
    try:
        # Opened here, because numpy leaves a damaged archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except Exception as error:  # of zip and header: both mean the same
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the file cannot be read as {path.suffix} ({error})",
        where=str(path),
        fix="write it with np.save or np.savez; Python objects are not accepted",
    )


def array_source(arrays: Arrays, contract: Contract, path: Path) -> Source:
    """Chunks of `arrays` along each input's time axis.

    Raises:
        InputError: an array's type or number of axes does not fit, or the arrays differ in length.
    """
    ports = {port.name: port for port in contract.inputs}
    batched = {name: _batched(array, ports[name], path) for name, array in arrays.items()}
    batch = _common_size(batched, [(n, port.batch_axis) for n, port in ports.items()], path)
    frames = _frames(batched, ports, path)

    def chunks(size: int | None) -> Iterator[Arrays]:
        step = size or max(frames, 1)
        for start in range(0, frames, step):
            yield {n: _cut(batched[n], port, start, start + step) for n, port in ports.items()}

    has_batch_axis = all(array.ndim == len(ports[name].shape) for name, array in arrays.items())
    return Source(chunks, batch, has_batch_axis)


def _frames(arrays: Arrays, ports: dict[str, Port], path: Path) -> int:
    """Frames of all arrays; one frame may be several entries of a time axis."""
    counts = {}
    for name, port in ports.items():
        if port.time_axis is not None:
            size, entries = arrays[name].shape[port.time_axis], entries_per_frame(port)
            if size % entries:
                raise InputError(
                    f"{size} entries along time are not a whole number of frames of {entries}",
                    where=f"input {name!r}, {path}",
                    fix=f"fill the array up with zeros: np.pad, {-size % entries} more",
                )
            counts[name] = size // entries
    return _common(counts, path)


def _batched(array: np.ndarray, port: Port, path: Path) -> np.ndarray:
    # float64 may become float32, int32 may become int64; sound samples must not become floats.
    if array.dtype.kind != np.dtype(port.dtype).kind:
        raise InputError(
            f"elements are {array.dtype}, {port.dtype} expected",
            where=f"input {port.name!r}, {path}",
            fix=f"convert the array: array.astype('{port.dtype}')",
        )
    if array.ndim == len(port.shape):
        return array
    if port.batch_axis is not None and array.ndim == len(port.shape) - 1:
        return np.expand_dims(array, port.batch_axis)
    raise InputError(
        f"the array's shape is {shape_text(array.shape)}, {shape_text(port.shape)} expected",
        where=f"input {port.name!r}, {path}",
        fix="give it these axes; a batch axis of 1 may be left out",
    )


def _common_size(arrays: Arrays, axes: list[tuple[str, int | None]], path: Path) -> int:
    return _common(
        {name: arrays[name].shape[axis] for name, axis in axes if axis is not None}, path
    )


def _common(sizes: dict[str, int], path: Path) -> int:
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"the arrays differ in size along batch or time: {sizes}",
            where=str(path),
            fix="give all inputs the same number of streams and of frames",
        )
    return next(iter(sizes.values()), 1)


def _cut(array: np.ndarray, port: Port, start: int, stop: int) -> np.ndarray:
    if port.time_axis is not None:
        entries = entries_per_frame(port)
        part = slice(start * entries, stop * entries)
        array = array[(slice(None),) * port.time_axis + (part,)]
    return np.ascontiguousarray(array, dtype=port.dtype)
