"""Arguments and options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from rnnedge_runtime.contract import Signal

ModelArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FILE", help="The ONNX model file.", show_default=False)
]
OutputOption: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")
]
ForceFlag: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Replace an output file that exists.")
]
JsonFlag: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result, or the error, as JSON on stdout.")
]
ProviderOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Execution provider: cpu, another that is installed, auto, or the path of a plugin "
        "library.",
    ),
]
ProviderSettingsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--provider-option",
        metavar="KEY=VALUE",
        help="An option of the provider, handed on as it is; repeatable.",
    ),
]
ProviderLibraryOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--provider-library",
        metavar="PATH",
        help="The plugin library that has the provider, in place of the one installed.",
    ),
]
ThreadsOption: TypeAlias = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, help="Threads of one run.")
]
SeedOption: TypeAlias = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Seed of the random numbers.")
]
MetricOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="FILE.PY:FUNCTION",
        help="The task's own measure: function(reference, candidate, data) gives what was lost.",
    ),
]
MaxDropOption: TypeAlias = Annotated[
    float | None,
    typer.Option("--max-drop", metavar="X", help="Budget: the metric may give so much at most."),
]
MinSnrOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--min-snr-db", metavar="DB", help="Budget: signal to noise of every output at least."
    ),
]

ModuleArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="What makes the PyTorch module: model.py:make_model or package.module:Class.",
        show_default=False,
    ),
]
ArgumentOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--arg", metavar="KEY=VALUE", help="An argument for MODEL's factory; repeatable."),
]
WeightsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--weights", metavar="FILE", help="A safetensors file or a checkpoint of tensors only."
    ),
]
WeightsKeyOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--weights-key", metavar="KEY", help="Where the state dict lies in WEIGHTS."),
]
InputsOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--input",
        metavar="'NAME: TYPE[AXES]'",
        help="An argument of forward: 'x: float32[batch, time, 80]'; repeatable.",
    ),
]
StatesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="'NAME -> RESULT'",
        help="A state that forward takes and returns, where that is not clear by itself: "
        "'hidden -> 1', 'hidden: float32[2, batch, 64] -> 1'; repeatable.",
    ),
]
AxesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--axes",
        "--input",
        metavar="'NAME: AXES'",
        help="Where batch and time lie in an input, output or state: 'x: batch, time, 80'; "
        "'x: batch, 512*time' takes 512 entries per frame; repeatable.",
    ),
]
SampleRateOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--sample-rate", metavar="HZ", min=1, help="Sample rate of the signal."),
]
HopOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--hop", metavar="SAMPLES", min=1, help="Samples per input frame (default: 1)."),
]
WindowOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--window", metavar="SAMPLES", min=1, help="Samples a frame sees (default: the hop)."
    ),
]


def provider_settings(texts: list[str] | None) -> dict[str, str]:
    """Divides ``key=value`` texts; the value may have further equals signs.

    Raises:
        typer.BadParameter: one has no equals sign, or no key.
    """
    pairs = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--provider-option")
        pairs[key] = value
    return pairs


def signal_of(sample_rate: int | None, hop: int | None, window: int | None) -> Signal | None:
    """How frames relate to samples, if the user said so.

    Raises:
        typer.BadParameter: there is a hop or a window, but no sample rate.
    """
    if sample_rate is None:
        if hop is not None or window is not None:
            raise typer.BadParameter("--hop and --window need --sample-rate")
        return None
    from rnnedge_runtime.contract import Signal

    hop = hop or 1
    return Signal(sample_rate_hz=sample_rate, hop_samples=hop, window_samples=window or hop)
