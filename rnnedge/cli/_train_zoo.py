"""`rnnedge train zoo`: one layer of the zoo, trained, exported, proven and judged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import ForceFlag, JsonFlag, SeedOption, ThreadsOption
from rnnedge.cli._output import ExitCode

if TYPE_CHECKING:
    from rnnedge.zoo.practice import Progress


def zoo(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="elman, lstm, gru, mingru, minlstm, lru, ssm, gla, slstm or cfc.",
            show_default=False,
        ),
    ],
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Updates to make (default: enough for the task)."),
    ] = None,
    hidden: Annotated[int, typer.Option(metavar="N", min=4, help="Units of the layer.")] = 32,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The ONNX file to write (default: NAME.onnx)."
        ),
    ] = None,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a layer of the zoo on a small task, export it, prove it and judge the stream.

    The task cannot be done without a memory; the score of a model that has none is shown beside.
    """
    output = Path(f"{name}.onnx") if output is None else output
    _output.check_file_output(output, force=force)

    from rnnedge.zoo.catalogue import find
    from rnnedge.zoo.char_lm import use_threads
    from rnnedge.zoo.showcase import show

    use_threads(threads)
    count = steps or find(name).steps
    result = show(
        name,
        output,
        steps=count,
        hidden=hidden,
        seed=seed,
        on_progress=lambda progress: _say_tenths(count, progress),
    )
    _output.emit(result, json=json)
    if not result.proven:
        raise typer.Exit(ExitCode.CHECK_FAILED)
    _output.hint("rnnedge", "inspect", output)


def _say_tenths(steps: int, progress: Progress) -> None:
    if progress.step * 10 // steps > (progress.step - 1) * 10 // steps:
        _output.say(f"step {progress.step} of {steps}: {progress.accuracy:.1%} right in training")
