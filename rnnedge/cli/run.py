"""`rnnedge run`: a file or stdin through a model, chunk by chunk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    ForceFlag,
    JsonFlag,
    ModelArgument,
    ProviderLibraryOption,
    ProviderOption,
    ProviderSettingsOption,
    ThreadsOption,
    provider_settings,
)
from rnnedge.cli._output import STANDARD_STREAM


def run(
    file: ModelArgument,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A .npy, .npz (one array per input), .wav or .flac file; - for raw little-endian "
            "frames on stdin.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .npy, .npz (one array per output) or .wav file; - for raw frames on stdout. "
            "Without it, outputs are computed and dropped.",
        ),
    ] = None,
    chunk: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            min=1,
            help="Frames per push (default: 10 ms, or 1 without a sample rate, in whole runs).",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Streams side by side in raw frames (default: 1)."),
    ] = None,
    state_in: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Go on from a state saved by --state-out.")
    ] = None,
    state_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the state after the last frame.")
    ] = None,
    provider: ProviderOption = "cpu",
    provider_option: ProviderSettingsOption = None,
    provider_library: ProviderLibraryOption = None,
    threads: ThreadsOption = 1,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Stream a file, or stdin, through a model.

    Output is aligned with the input and complete, whatever the model's delay. A state to go on
    from is saved before the end is computed.

    Results are written as they come; the output is FILE.part until all is done, and stays so if
    the run fails. An array may leave a batch axis of 1 away: [time, features]. The channels of a
    sound file are streams side by side.
    """
    if json and output == STANDARD_STREAM:
        raise typer.BadParameter("--json and --output - both need stdout")

    from rnnedge.cli._stream import Options, stream_file

    for path in (output, state_out):
        if path is not None:
            _output.check_overwrite(path, force=force)
    options = Options(
        output,
        chunk,
        batch,
        state_in,
        state_out,
        provider,
        provider_settings(provider_option),
        provider_library,
        threads,
    )
    summary = stream_file(file, source, options)
    _output.emit(summary, json=json, aside=True)
    if state_out is not None:
        _output.hint("rnnedge", "run", file, "NEXT_INPUT.npy", "--state-in", state_out)
    elif output is None:
        _output.hint("rnnedge", "run", file, source, "--output", "OUTPUT.npy")
    else:
        _output.hint("rnnedge", "inspect", file)
