"""`rnnedge export`: a PyTorch module becomes a streaming ONNX file, proven equal."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    ArgumentOption,
    ForceFlag,
    HopOption,
    InputsOption,
    JsonFlag,
    ModuleArgument,
    OutputOption,
    SampleRateOption,
    StatesOption,
    WeightsKeyOption,
    WeightsOption,
    WindowOption,
    signal_of,
)
from rnnedge.cli._output import ExitCode
from rnnedge.cli._source import load_source


def export(
    model: ModuleArgument,
    inputs: InputsOption,
    output: OutputOption,
    arg: ArgumentOption = None,
    weights: WeightsOption = None,
    weights_key: WeightsKeyOption = None,
    state: StatesOption = None,
    mode: Annotated[
        Literal["stream", "sequence"],
        typer.Option(help="Run in chunks of any length, or whole sequences only."),
    ] = "stream",
    opset: Annotated[int, typer.Option(metavar="N", help="The ONNX opset to write.")] = 21,
    one_frame: Annotated[
        bool,
        typer.Option("--one-frame", help="Write the fastest form for runs of one frame each."),
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not prove that the file equals the module.")
    ] = False,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Write the file even if that proof fails.")
    ] = False,
    force: ForceFlag = False,
    sample_rate: SampleRateOption = None,
    hop: HopOption = None,
    window: WindowOption = None,
    json: JsonFlag = False,
) -> None:
    """Turn a PyTorch module into a streaming ONNX file.

    The file is compared with the module before it is kept.
    """
    signal = signal_of(sample_rate, hop, window)

    from rnnedge import export as export_module
    from rnnedge.report.export import ExportSummary
    from rnnedge_exporters.capture import other_precision

    _output.check_overwrite(output, force=force)
    module, checksum = load_source(model, arg, weights, weights_key)
    if precision := other_precision(module):
        _output.warn(
            f"the module is {precision}; it is exported as float32, as onnxruntime has recurrent "
            "operators in no other precision",
            fix="nothing needs to be done; module.float() before the export says the same",
        )
    result = export_module(
        module,
        output,
        inputs=inputs,
        states=state or (),
        mode=mode,
        opset=opset,
        one_frame=one_frame,
        verify=not no_verify,
        keep_failed=keep_failed,
        force=force,
        signal=signal,
        checkpoint_sha256=checksum,
    )
    _output.emit(ExportSummary(result), json=json)
    if result.parity is not None and not result.parity.passed:
        raise typer.Exit(ExitCode.CHECK_FAILED)
    _output.hint("rnnedge", "inspect", output)
