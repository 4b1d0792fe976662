"""`rnnedge tune`: the fastest form of a model file, found by measuring."""

from __future__ import annotations

from typing import Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    ArgumentOption,
    ForceFlag,
    JsonFlag,
    ModelArgument,
    OutputOption,
    SeedOption,
    StatesOption,
    WeightsKeyOption,
    WeightsOption,
)
from rnnedge.cli._source import check_against, load_against


def tune(
    file: ModelArgument,
    output: OutputOption,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="What makes the PyTorch module: model.py:make_model. Then the form for one frame "
            "per run is tried, too.",
        ),
    ] = None,
    arg: ArgumentOption = None,
    weights: WeightsOption = None,
    weights_key: WeightsKeyOption = None,
    state: StatesOption = None,
    chunk: Annotated[
        int | None,
        typer.Option(metavar="FRAMES", min=1, help="Frames of a push (default: one run)."),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of a push.")] = 1,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Threads of a run to try; repeatable (default: 1, and as many as there are).",
        ),
    ] = None,
    min_snr_db: Annotated[
        float | None,
        typer.Option(
            "--min-snr-db",
            metavar="DB",
            help="Try int8 and the like too, if their outputs keep this signal-to-noise ratio. "
            "Without it only forms that are the same but for rounding.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="About how long the measuring takes.")
    ] = 20.0,
    seed: SeedOption = 0,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Write the form of a file that is fastest on this machine.

    What is not surely faster than the file as it is, or differs by more than rounding (or than
    --min-snr-db allows), is not taken. The file keeps what was measured, and where.
    """
    check_against(against, arg, weights, weights_key, state)
    _output.check_file_output(output, force=force)

    from rnnedge.report.tuning import TuneSummary
    from rnnedge.tuning import TuneOptions, tune

    options = TuneOptions(
        chunk=chunk,
        batch=batch,
        threads=tuple(threads) if threads else None,
        min_snr_db=min_snr_db,
        seconds=seconds,
        seed=seed,
    )
    module = load_against(against, arg, weights, weights_key, state)
    report = tune(file, output, options, against=module, on_progress=_output.say)
    _output.emit(TuneSummary(report, output), json=json)
    _output.hint("rnnedge", "bench", output)
