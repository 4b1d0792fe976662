"""`rnnedge adopt`: a contract for a stateful ONNX file that someone else made."""

from __future__ import annotations

from typing import Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    AxesOption,
    ForceFlag,
    HopOption,
    JsonFlag,
    ModelArgument,
    OutputOption,
    SampleRateOption,
    SeedOption,
    WindowOption,
    signal_of,
)


def adopt(
    file: ModelArgument,
    output: OutputOption,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="INPUT=OUTPUT",
            help="A state: the input that takes it, and the output that is its next value; "
            "repeatable. Without it, pairs are proposed.",
        ),
    ] = None,
    axes: AxesOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="INPUT=VALUE",
            help="An input that never changes, such as a sample rate: its value is stored in the "
            "file; repeatable.",
        ),
    ] = None,
    fill: Annotated[
        list[str] | None,
        typer.Option(
            "--fill",
            metavar="STATE=VALUE",
            help="What a state holds at the start: a number or a .npy file of one row (default: "
            "0); repeatable.",
        ),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            metavar="INPUT=N",
            help="The input takes the last N entries of the run before once more, in front of its "
            "own: keep them in a state; repeatable.",
        ),
    ] = None,
    sample_rate: SampleRateOption = None,
    hop: HopOption = None,
    window: WindowOption = None,
    seed: SeedOption = 0,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Write a contract into a stateful ONNX file.

    For files that someone else made, whose inputs and outputs hold the states.

    The new file runs beside the original, driven by hand, before it is written.
    """
    signal = signal_of(sample_rate, hop, window)
    _output.check_file_output(output, force=force)

    from rnnedge.adoption import AdoptOptions, adopt
    from rnnedge.adoption.options import parse_axes, parse_counts, parse_pairs, parse_values
    from rnnedge.report.adoption import AdoptionSummary

    options = AdoptOptions(
        states=parse_pairs(state or (), "--state", "INPUT=OUTPUT"),
        axes=parse_axes(axes or ()),
        values=parse_values(set_ or (), "--set"),
        fills=parse_values(fill or (), "--fill"),
        contexts=parse_counts(context or (), "--context"),
        signal=signal,
        seed=seed,
    )
    adopted = adopt(file, options)
    with _output.replacing(output) as part:
        part.write_bytes(adopted.model)
    _output.emit(AdoptionSummary(adopted, output), json=json)
    _output.hint("rnnedge", "inspect", output)
