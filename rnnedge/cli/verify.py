"""`rnnedge verify`: is the ONNX file the same function as the PyTorch module?"""

from __future__ import annotations

from typing import Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    ArgumentOption,
    JsonFlag,
    ModelArgument,
    ProviderOption,
    SeedOption,
    StatesOption,
    ThreadsOption,
    WeightsKeyOption,
    WeightsOption,
)
from rnnedge.cli._output import ExitCode
from rnnedge.cli._source import load_source


def verify(
    file: ModelArgument,
    against: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="What makes the PyTorch module: model.py:make_model or package.module:Class.",
        ),
    ],
    arg: ArgumentOption = None,
    weights: WeightsOption = None,
    weights_key: WeightsKeyOption = None,
    state: StatesOption = None,
    provider: ProviderOption = "cpu",
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Compare tensor by tensor, and name the first that differs and its module.",
        ),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Prove that an ONNX file equals a PyTorch module."""
    from rnnedge import verify as verify_file
    from rnnedge.report.parity import ParitySummary

    module, _ = load_source(against, arg, weights, weights_key)
    report = verify_file(
        file,
        module,
        states=state or (),
        provider=provider,
        threads=threads,
        seed=seed,
        explain=explain,
    )
    _output.emit(ParitySummary(report), json=json)
    if not report.passed:
        if weights is None:
            _output.warn(
                "MODEL was made without --weights: are its numbers those that were exported?",
                fix="give the checkpoint that was exported, or a factory that loads it",
            )
        if not explain:
            again = [word for text in arg or () for word in ("--arg", text)]
            again += [] if weights is None else ["--weights", str(weights)]
            again += [] if weights_key is None else ["--weights-key", weights_key]
            _output.hint("rnnedge", "verify", file, "--against", against, *again, "--explain")
        raise typer.Exit(ExitCode.CHECK_FAILED)
    _output.hint("rnnedge", "run", file, "INPUT.npy", "--output", "OUTPUT.npy")
