"""Files that are whole or not there at all."""

from __future__ import annotations

import os
from pathlib import Path

from rnnedge_runtime.errors import RnnEdgeError


class OutputError(RnnEdgeError):
    """The file cannot be written."""


def write_whole(path: Path, data: bytes) -> None:
    """Writes beside the target and renames, so that no half file is ever there.

    Raises:
        OutputError: the system refuses.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"it cannot be written: {error.strerror}",
            where=str(path),
            fix="check that the folder exists and can be written to",
        ) from error
