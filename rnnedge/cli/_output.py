"""What every command says, and where: results on stdout, all else on stderr.

A command ends with one result object (see `Result`) given to `emit`, which prints it for a person,
for a program (``--json``) or for a script (``--quiet``), and with one `hint`: the next command.
Nothing here is animated, and rich honours ``NO_COLOR``.
"""

from __future__ import annotations

import contextlib
import json as json_module
import math
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SCHEMA_VERSION = 1
STANDARD_STREAM = Path("-")
"""As a path argument: stdin where something is read, stdout where something is written."""
_WIDE = 10_000


class ExitCode(IntEnum):
    """How every command ends; a usage error, too, is 2."""

    DONE = 0
    CHECK_FAILED = 1
    BAD_INPUT = 2
    OUR_BUG = 70
    INTERRUPTED = 130
    CLOSED_PIPE = 141


@dataclass
class Settings:
    """The options that stand before the command's name."""

    verbose: bool = False
    quiet: bool = False


settings = Settings()


class Result(Protocol):
    """What a command found or made, in the three forms in which it can be asked for."""

    def to_dict(self) -> Mapping[str, Any]:
        """Plain JSON values; quantities carry their unit in the key: ``latency_us``."""
        ...

    def to_rich(self) -> RenderableType:
        """A table or text for a person."""
        ...

    def to_line(self) -> str:
        """The one thing that a script wants: a path, a verdict; may be empty."""
        ...


def emit(result: Result, *, json: bool, aside: bool = False) -> None:
    """Prints the result on stdout, and flushes, so that a closed pipe is noticed here.

    Args:
        result: in the form that the user asked for.
        json: print it as JSON.
        aside: what a person reads goes to stderr, because stdout may carry the command's data.
    """
    if json:
        print(to_json(result.to_dict()))
    elif settings.quiet:
        line = result.to_line()
        if line:
            print(line)
    else:
        (stderr() if aside else stdout()).print(result.to_rich())
    sys.stdout.flush()


def emit_error(what: str, where: str, fix: str, *, json: bool) -> None:
    """Prints an error in three lines on stderr and, for a program, as JSON on stdout."""
    if json:
        print(to_json({"error": {"what": what, "where": where, "fix": fix}}))
        sys.stdout.flush()
    console = stderr()
    console.print("error:", style="bold red", end=" ")
    console.print(f"{what}\n  where: {where}\n  fix: {fix}", markup=False, highlight=False)


def hint(*words: str | Path) -> None:
    """Prints the next command on stderr: ``hint("rnnedge", "inspect", path)``.

    Each argument is one word of the command line, and is quoted where a shell needs it.
    """
    say("next: " + shlex.join(str(word) for word in words))


def say(text: str) -> None:
    """Prints one line of progress on stderr, unless the user asked for quiet."""
    if not settings.quiet:
        print(text, file=sys.stderr, flush=True)


def warn(what: str, *, fix: str) -> None:
    """Prints a warning and its remedy on stderr, quiet or not."""
    console = stderr()
    console.print("warning:", style="yellow", end=" ")
    console.print(f"{what}\n  fix: {fix}", markup=False, highlight=False)


def stdout() -> Console:
    """The console of results; made when needed, because rich costs 50 ms and stdout may change."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console of errors and warnings."""
    return _console(stderr=True)


def check_overwrite(path: Path, *, force: bool, option: str = "--output") -> None:
    """Refuses to write over an existing file, unless forced.

    Args:
        path: the file to be written; ``-`` is always fine.
        force: write over a file that exists.
        option: where the user gave the name.

    Raises:
        RnnEdgeError: the file exists and `force` is off, or its folder does not exist.
    """
    from rnnedge_runtime.errors import RnnEdgeError

    if path == STANDARD_STREAM:
        return
    if path.is_dir():
        raise RnnEdgeError("the output is a folder", where=str(path), fix="name a file inside it")
    if path.exists() and not force:
        raise RnnEdgeError(
            "the output file exists already",
            where=str(path),
            fix=f"give another name with {option}, or --force to replace it",
        )
    if not path.parent.exists():
        raise RnnEdgeError(
            "the output's folder does not exist",
            where=str(path.parent),
            fix=f"create it: mkdir -p {shlex.quote(str(path.parent))}",
        )


def check_file_output(path: Path, *, force: bool) -> None:
    """As `check_overwrite`, for what cannot go to stdout.

    Raises:
        RnnEdgeError: the output is stdout, or `check_overwrite` refuses it.
    """
    from rnnedge_runtime.errors import RnnEdgeError

    if path == STANDARD_STREAM:
        raise RnnEdgeError(
            "a model cannot go to stdout", where="--output -", fix="name a file: -o model.onnx"
        )
    check_overwrite(path, force=force)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a name beside `path` to write to; renames it to `path` once all went well.

    A file that was there stays whole until the new one is, and after a failure nothing is left.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def to_json(data: Mapping[str, Any]) -> str:
    """As ``--json`` prints it, with the version of its form."""
    return json_module.dumps({"schema_version": SCHEMA_VERSION, **_strict(data)}, indent=2)


def _strict(value: Any) -> Any:
    """NaN and infinities as text: JSON has no such numbers, and a failed check may have them."""
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, soft_wrap=stderr)
    if not console.is_terminal:
        # Rich would cut tables to 80 columns; who reads a pipe or a file has no columns.
        console.width = _WIDE
    return console
