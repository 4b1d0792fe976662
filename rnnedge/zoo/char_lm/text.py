"""Text to train on, and its division into a training and a validation part."""

from __future__ import annotations

import io
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from rnnedge.zoo.char_lm.errors import TextError

STANDARD_INPUT = Path("-")
VALIDATION_SHARE = 0.1


class Split(NamedTuple):
    """A text in two parts: the model learns from one and is judged on the other."""

    training: str
    validation: str


def read_text(path: Path, maximum: int) -> str:
    """The first `maximum` characters of a UTF-8 file; line ends become newlines.

    Args:
        path: the file, or `STANDARD_INPUT`.
        maximum: in characters.

    Raises:
        TextError: the file cannot be read, is not UTF-8, or is empty.
    """
    try:
        binary = sys.stdin.buffer if path == STANDARD_INPUT else path.open("rb")
        with io.TextIOWrapper(binary, encoding="utf-8-sig") as stream:
            text = stream.read(maximum)
    except OSError as error:
        raise TextError(
            f"the text cannot be read: {(error.strerror or str(error)).lower()}",
            where=str(path),
            fix="check the path and the permissions",
        ) from error
    except UnicodeDecodeError as error:
        raise TextError(
            f"UTF-8 text was expected, got the byte 0x{error.object[error.start]:02x}",
            where=str(path),
            fix="convert it first: iconv -f LATIN1 -t UTF-8 FILE",
        ) from error
    if not text:
        raise TextError("the text is empty", where=str(path), fix="give a file with text in it")
    return text


def read_standard_library(maximum: int) -> str:
    """The Python sources of the standard library's top level: a text that every machine has.

    Args:
        maximum: in characters. Files follow each other by name; the last one may be cut.

    Raises:
        TextError: this Python came without its sources.
    """
    folder = Path(sysconfig.get_paths()["stdlib"])
    parts: list[str] = []
    left = maximum
    for path in sorted(folder.glob("*.py")):
        if left <= 0:
            break
        parts.append(path.read_text(encoding="utf-8")[:left])
        left -= len(parts[-1])
    if not parts:
        raise TextError(
            "this Python came without the sources of its standard library",
            where=str(folder),
            fix="name another text with --text",
        )
    return "".join(parts)


def split(text: str, validation_share: float = VALIDATION_SHARE) -> Split:
    """Divides by position: the end of the text is for validation.

    A random division would put neighbours of every validated character into training.
    """
    at = len(text) - round(len(text) * validation_share)
    return Split(text[:at], text[at:])
