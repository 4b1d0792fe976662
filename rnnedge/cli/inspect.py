"""`rnnedge inspect`: what a model file promises, holds, costs; its picture; and its clocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    ArgumentOption,
    ForceFlag,
    JsonFlag,
    StatesOption,
    WeightsKeyOption,
    WeightsOption,
)
from rnnedge.cli._output import ExitCode

if TYPE_CHECKING:
    from torch import nn


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The ONNX model file; with --clocks --input also a module, model.py:make_model.",
            show_default=False,
        ),
    ],
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
    unroll: Annotated[
        int | None,
        typer.Option(
            "--unroll",
            metavar="N",
            min=1,
            max=50,
            help="Print N steps in a row instead, as Mermaid text: the states' way through time.",
        ),
    ] = None,
    clocks: Annotated[
        bool,
        typer.Option(
            "--clocks",
            help="Show how each tensor runs with time instead: rate, delay, length, what is kept.",
        ),
    ] = False,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="'NAME: TYPE[AXES]'",
            help="With --clocks, of a module: as for `export`, 'x: float32[batch, time, 80]'.",
        ),
    ] = None,
    arg: ArgumentOption = None,
    weights: WeightsOption = None,
    weights_key: WeightsKeyOption = None,
    state: StatesOption = None,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Show what a model file promises, holds and costs.

    Or draw it, or list how its tensors run with time.
    """
    _check_together(graph, clocks, inputs, (arg, weights, weights_key, state))
    if unroll is not None:
        if json or clocks or graph is not None:
            raise typer.BadParameter("--unroll stands without --graph, --clocks and --json")
        _unroll(file, unroll, depth)
        return
    if inputs:
        from rnnedge.cli._source import load_source

        module, _ = load_source(str(file), arg, weights, weights_key)
        _clocks_of_module(file, module, inputs, state or (), json=json)
        return
    if clocks:
        if ":" in file.name and not file.exists():
            raise typer.BadParameter("--clocks of a module needs --input, as `export` does")
        _clocks_of_file(file, json=json)
        return
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


def _check_together(
    graph: Path | None, clocks: bool, inputs: list[str] | None, of_module: tuple[object, ...]
) -> None:
    if inputs and not clocks:
        raise typer.BadParameter("--input needs --clocks")
    if any(of_module) and not inputs:
        raise typer.BadParameter("--arg, --weights, --weights-key and --state need --input")
    if clocks and graph is not None:
        raise typer.BadParameter("give one of --clocks and --graph")


def _clocks_of_module(
    spec: Path, module: nn.Module, inputs: list[str], states: Sequence[str], *, json: bool
) -> None:
    from rnnedge.report.clocks import ClockTable
    from rnnedge_exporters import analyse

    analysis = analyse(module, inputs, states=states)
    _output.emit(ClockTable.of_analysis(analysis), json=json)
    if analysis.refusal is not None:
        error = analysis.refusal
        _output.emit_error(error.what, error.where, error.fix, json=False)
        raise typer.Exit(ExitCode.BAD_INPUT)
    given = [word for text in inputs for word in ("--input", text)]
    _output.hint("rnnedge", "export", spec, *given, "-o", "model.onnx")


def _clocks_of_file(file: Path, *, json: bool) -> None:
    from rnnedge.report.clocks import ClockTable

    _output.emit(ClockTable.of_file(file), json=json)
    _output.hint("rnnedge", "inspect", file, "--graph", "-")


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


def _unroll(file: Path, steps: int, depth: int | None) -> None:
    from rnnedge.report.picture.unroll import draw_unrolled

    print(draw_unrolled(file, steps, depth=depth), end="", flush=True)
    _output.hint("rnnedge", "inspect", file, "--graph", "-")


def _warn_of_no_contract() -> None:
    _output.warn(
        "the file has no contract, so nothing says which inputs are states",
        fix="export it with `rnnedge export`, which writes one",
    )
