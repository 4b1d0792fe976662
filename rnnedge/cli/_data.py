"""A user's data for calibration, comparison and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rnnedge.cli._frames import Arrays, open_source
from rnnedge.cli._frames.from_arrays import array_source, load_archive

if TYPE_CHECKING:
    from rnnedge_runtime import Contract


def load_data(path: Path, contract: Contract) -> tuple[Arrays, Arrays]:
    """Reads a ``.npz``, ``.npy`` or sound file.

    A ``.npz`` file may hold more than the model's inputs: what a metric needs.

    Returns:
        The inputs, batch axes included, by name; and all arrays, the inputs as they were given to
        the models among them.

    Raises:
        InputError: the file is missing or damaged, or its arrays do not fit.
    """
    if path.suffix.lower() == ".npz" and path.is_file():
        arrays = load_archive(path)
        names = [port.name for port in contract.inputs]
        given = {name: arrays[name] for name in names if name in arrays}
        _check_all(given, names, path)
        source = array_source(given, contract, path)
    else:
        arrays, source = {}, open_source(path, contract, None)
    chunks = list(source.chunks(None))
    _check_any(len(chunks), path)
    return chunks[0], arrays | chunks[0]


def _check_all(given: Arrays, names: list[str], path: Path) -> None:
    from rnnedge_runtime.errors import InputError

    missing = [name for name in names if name not in given]
    if missing:
        raise InputError(
            f"there is no array for the model's input {missing[0]!r}",
            where=str(path),
            fix="save one array per input, under the input's name; others may be with them",
        )


def _check_any(count: int, path: Path) -> None:
    from rnnedge_runtime.errors import InputError

    if not count:
        raise InputError(
            "there are no frames in it", where=str(path), fix="give one frame at least"
        )
