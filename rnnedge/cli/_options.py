"""Arguments and options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

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
        help="Execution provider: cpu, another that is installed, or auto.",
    ),
]
ThreadsOption: TypeAlias = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, help="Threads of one run.")
]
SeedOption: TypeAlias = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Seed of the random numbers.")
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
StatesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="'NAME -> RESULT'",
        help="A state that forward takes and returns, where that is not clear by itself: "
        "'hidden -> 1', 'hidden: float32[2, batch, 64] -> 1'; repeatable.",
    ),
]
