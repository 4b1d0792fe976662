"""`rnnedge quantize`: weights in fewer bits, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    ForceFlag,
    JsonFlag,
    MaxDropOption,
    MetricOption,
    MinSnrOption,
    ModelArgument,
    OutputOption,
    SeedOption,
)
from rnnedge.cli._output import ExitCode

if TYPE_CHECKING:
    from rnnedge_exporters.quantize import Form, Kind, States

_KINDS = ("int8", "static", "weights8", "weights4", "float16")
_FORMS = ("auto", "step", "chunks")
_STATES = ("float", "float16", "int8")


def quantize(
    file: ModelArgument,
    output: OutputOption,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="int8: weights and, by the range of each run, activations. static: by the "
            "range in --calibrate. weights8, weights4: weights only. float16: stored in half "
            "(default: int8; static with --calibrate, but for --states int8).",
            show_default=False,
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Typical inputs, for static and int8 states: .npz, .npy or sound."
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            help="Of recurrent layers: step, in runs of one frame; chunks, of any length, slower; "
            "auto: step where that can be, LSTM in chunks.",
        ),
    ] = "auto",
    block: Annotated[
        int, typer.Option(metavar="N", help="Inputs per scale of weights8 and weights4.")
    ] = 32,
    compute_from: Annotated[
        int | None,
        typer.Option(
            metavar="WEIGHTS",
            min=0,
            help="Layers with fewer weights are stored in int8 and computed in float (default: "
            "what is faster, by operator).",
            show_default=False,
        ),
    ] = None,
    integer_convolutions: Annotated[
        bool,
        typer.Option(
            "--integer-convolutions",
            help="Compute convolutions in integers without calibration, too; mostly slower.",
        ),
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER", help="A layer that stays in float; repeatable."),
    ] = None,
    states: Annotated[
        str,
        typer.Option(
            metavar="TYPE",
            help="How states are kept between runs: float, float16, or int8 with --calibrate.",
        ),
    ] = "float",
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What quality is measured on: .npz, .npy or sound (default: the calibration data, "
            "or random signals).",
            show_default=False,
        ),
    ] = None,
    metric: MetricOption = None,
    max_drop: MaxDropOption = None,
    min_snr_db: MinSnrOption = None,
    sensitivity: Annotated[
        bool,
        typer.Option("--sensitivity", help="Measure each layer alone, whatever the budget says."),
    ] = False,
    chunk: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            min=1,
            help="Frames per push while quality is measured (default: the fewest of a run).",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0, help="About how long to measure speed; 0 not to.")
    ] = 1.0,
    seed: SeedOption = 0,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Store a model's weights in fewer bits.

    The new file keeps the contract: states stay in float, under the same names, unless --states
    says otherwise. It runs beside the float file, and the report tells what was lost for what was
    gained. With a budget, the layers that hurt most are computed in float until it holds; if it
    never does, nothing is written.
    """
    _check_choice("--kind", kind, _KINDS)
    _check_choice("--form", form, _FORMS)
    _check_choice("--states", states, _STATES)
    if block < 16 or block & (block - 1):
        raise typer.BadParameter("it has to be a power of two, 16 at least", param_hint="--block")
    if max_drop is not None and metric is None:
        raise typer.BadParameter("--max-drop needs --metric; --min-snr-db needs none")
    if kind == "static" and calibrate is None:
        raise typer.BadParameter("--kind static needs --calibrate FILE")
    if states == "int8" and calibrate is None:
        raise typer.BadParameter("--states int8 needs --calibrate FILE")
    if kind not in (None, "static") and states != "int8" and calibrate is not None:
        raise typer.BadParameter(f"--kind {kind} has no use for --calibrate; --data measures on it")
    _output.check_file_output(output, force=force)

    from rnnedge.cli._data import load_data
    from rnnedge.quality import load_metric
    from rnnedge.quantizing import quantize as quantize_file
    from rnnedge.report.quantization import QuantizationSummary
    from rnnedge_runtime import load

    contract = load(file).contract
    seen = None if calibrate is None else load_data(calibrate, contract)
    given = seen if data is None else load_data(data, contract)
    named = calibrate if data is None else data
    result = quantize_file(
        file,
        output,
        kind=cast("Kind | None", kind),
        form=cast("Form", form),
        block=block,
        compute_from=compute_from,
        integer_convolutions=integer_convolutions,
        keep=keep or (),
        states=cast("States", states),
        calibration=None if seen is None else seen[0],
        inputs=None if data is None or given is None else given[0],
        data=None if given is None else given[1],
        data_name="" if named is None else named.name,
        metric=None if metric is None else load_metric(metric),
        max_drop=max_drop,
        min_snr_db=min_snr_db,
        sensitivity=sensitivity,
        chunk=chunk,
        seed=seed,
        seconds=seconds,
        force=force,
        on_progress=_output.say,
    )
    _output.emit(QuantizationSummary(result), json=json)
    if not result.passed:
        raise typer.Exit(ExitCode.CHECK_FAILED)
    _output.hint("rnnedge", "verify", output, "--against", file)


def _check_choice(option: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(choices)}", param_hint=option)
