"""The entry point: ties the commands together and ends with an exit code (see `ExitCode`).

Command files import at their top only what ``--help`` needs. Whatever is heavy (torch, onnx,
onnxruntime, numpy, rich) they import inside the function that uses it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rnnedge.cli import _output
from rnnedge.cli._errors import explain
from rnnedge.cli._output import ExitCode
from rnnedge.cli.adopt import adopt
from rnnedge.cli.bench import bench
from rnnedge.cli.doctor import doctor
from rnnedge.cli.export import export
from rnnedge.cli.generate import generate
from rnnedge.cli.inspect import inspect
from rnnedge.cli.lift import lift
from rnnedge.cli.quantize import quantize
from rnnedge.cli.run import run
from rnnedge.cli.train import app as train
from rnnedge.cli.tune import tune
from rnnedge.cli.verify import verify

_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


class _Commands(TyperGroup):
    """Ends quietly when a pipe's reader is gone (``| head``); typer would say 1: a failed check."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Python flushes stdout once more at exit, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.CLOSED_PIPE) from error


app = typer.Typer(
    name="rnnedge",
    cls=_Commands,
    help="Take recurrent and causal PyTorch networks to streaming ONNX, and run them.",
    no_args_is_help=True,
    # Plain help: rich's takes 150 ms to import, which is what all the rest takes.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(export)
app.command()(verify)
app.command()(inspect)
app.command()(run)
app.command()(bench)
app.command()(quantize)
app.command()(tune)
app.command()(adopt)
app.command()(lift)
app.add_typer(train)
app.command()(generate)
app.command()(doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and leaves with its exit code.

    Args:
        arguments: the words after ``rnnedge``; those of the process when None.

    Raises:
        SystemExit: always.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if len(words) == 2 and words[0] == "--show-completion":
            _ask_for_completion(words[1])
        app(words, prog_name="rnnedge")
    except Exception as error:
        sys.exit(explain(error, json="--json" in words))


def _ask_for_completion(shell: str) -> None:
    """Prints the script of the shell named; typer's own flag guesses the shell of the parent."""
    if shell not in _SHELLS:
        from rnnedge_runtime.errors import RnnEdgeError

        raise RnnEdgeError(
            f"there is no completion for {shell!r}",
            where="--show-completion",
            fix=f"use one of {', '.join(_SHELLS)}",
        )
    os.environ["_RNNEDGE_COMPLETE"] = f"source_{shell}"


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("rnnedge"))
        raise typer.Exit


@app.callback()
def _global_options(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the traceback of an error.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only the essential: a path, a verdict.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    _output.settings.verbose = verbose
    _output.settings.quiet = quiet
