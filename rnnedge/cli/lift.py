"""`rnnedge lift`: states for an ONNX file that forgets everything between runs."""

from __future__ import annotations

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


def lift(
    file: ModelArgument,
    output: OutputOption,
    axes: AxesOption = None,
    sample_rate: SampleRateOption = None,
    hop: HopOption = None,
    window: WindowOption = None,
    seed: SeedOption = 0,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Give states to an ONNX file that has none.

    Such a file starts from zero on every run.

    RNN, GRU and LSTM nodes that run over time, and convolutions that pad the past, keep their state
    between runs. What is not known to work in chunks is refused by name. The new file runs beside
    the original before it is written.
    """
    signal = signal_of(sample_rate, hop, window)
    _output.check_file_output(output, force=force)

    from rnnedge.adoption import LiftOptions, lift
    from rnnedge.adoption.options import parse_axes
    from rnnedge.report.adoption import AdoptionSummary

    options = LiftOptions(axes=parse_axes(axes or ()), signal=signal, seed=seed)
    lifted = lift(file, options)
    with _output.replacing(output) as part:
        part.write_bytes(lifted.model)
    _output.emit(AdoptionSummary(lifted, output), json=json)
    _output.hint("rnnedge", "inspect", output)
