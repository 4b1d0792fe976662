"""`rnnedge inspect`: what a model file promises, holds, and costs per frame; and its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import ForceFlag, JsonFlag, ModelArgument


def inspect(
    file: ModelArgument,
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph",
            metavar="FILE",
            help="Draw the network instead: to an .svg or .mmd (Mermaid) file, "
            "or as Mermaid text to stdout (-).",
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="N",
            min=1,
            help="How deep into nested modules to look (default: as deep as stays readable).",
        ),
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames/--no-frames", help="Draw frames around nested modules.")
    ] = True,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Show what a model file promises, holds and costs; or draw it."""
    if graph is not None:
        _draw(file, graph, depth, frames, force=force, json=json)
        return
    if depth is not None or force or not frames:
        raise typer.BadParameter("--depth, --no-frames and --force need --graph")

    from rnnedge.report.inspection import inspect_file

    found = inspect_file(file)
    _output.emit(found, json=json)
    if found.contract is None:
        _warn_of_no_contract()
        return
    _output.hint("rnnedge", "run", file, "INPUT.npy", "--output", "OUTPUT.npy")


def _draw(
    file: Path, graph: Path, depth: int | None, frames: bool, *, force: bool, json: bool
) -> None:
    to_stdout = graph == _output.STANDARD_STREAM
    if to_stdout and json:
        raise typer.BadParameter("stdout takes one of --json and --graph -")

    from rnnedge.report.picture import check_kind, draw

    check_kind(graph)
    _output.check_overwrite(graph, force=force, option="--graph")
    drawing = draw(file, graph, depth=depth, framed=frames)
    if to_stdout:
        print(drawing.text, end="", flush=True)
    else:
        with _output.replacing(graph) as part:
            part.write_text(drawing.text, encoding="utf-8")
        _output.emit(drawing, json=json)
    if not drawing.has_contract:
        _warn_of_no_contract()
    if drawing.depth < drawing.deepest:
        deeper = ("--depth", str(drawing.depth + 1), *(() if to_stdout else ("--force",)))
        _output.hint("rnnedge", "inspect", file, "--graph", graph, *deeper)
    elif drawing.has_contract:
        _output.hint("rnnedge", "run", file, "INPUT.npy", "--output", "OUTPUT.npy")


def _warn_of_no_contract() -> None:
    _output.warn(
        "the file has no contract, so nothing says which inputs are states",
        fix="export it with `rnnedge export`, which writes one",
    )
