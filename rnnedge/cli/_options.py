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
