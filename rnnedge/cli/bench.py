"""`rnnedge bench`: how fast a model is on this machine, and beside whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import (
    ArgumentOption,
    ForceFlag,
    JsonFlag,
    ModelArgument,
    ProviderLibraryOption,
    ProviderOption,
    ProviderSettingsOption,
    SeedOption,
    StatesOption,
    ThreadsOption,
    WeightsKeyOption,
    WeightsOption,
    provider_settings,
)
from rnnedge.cli._output import ExitCode
from rnnedge.cli._source import check_against, load_against

if TYPE_CHECKING:
    from rnnedge.benchmark import BenchReport


def bench(
    file: ModelArgument,
    chunk: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            min=1,
            help="Frames per call (default: 10 ms, or 1 without a sample rate, in whole runs).",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of a call.")] = 1,
    hop_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="Milliseconds of signal from one input frame to the next (default: the file's).",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(metavar="S", help="About how long to measure.")] = 6.0,
    calls: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Time so many calls of each thing at most."),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep/--no-sweep", help="Try other chunk lengths and batches, too.")
    ] = True,
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Time the other runtimes that are installed by turns, too."),
    ] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer",
            metavar="NAME",
            help="Only this one: onnxruntime, openvino, tract, torch, torch.compile, litert, "
            "executorch; repeatable.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="With --peers: what makes the PyTorch module, model.py:make_model, to time torch.",
        ),
    ] = None,
    arg: ArgumentOption = None,
    weights: WeightsOption = None,
    weights_key: WeightsKeyOption = None,
    state: StatesOption = None,
    max_p99_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS", help="Budget: exit code 1 if one call in a hundred takes longer."
        ),
    ] = None,
    max_rtf: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Budget: processing time divided by signal time, of the median call."
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the result as JSON, too.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write it as Markdown; - for stdout, in place of the table."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw how the times are distributed, and the deadline: .png, .svg or .pdf.",
        ),
    ] = None,
    provider: ProviderOption = "cpu",
    provider_option: ProviderSettingsOption = None,
    provider_library: ProviderLibraryOption = None,
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Measure how fast a model is on this machine.

    Calls are timed back to back and at the signal's cadence, cold and warm, for other chunks and
    batches; with what they cost in memory and processor time, what the physical limit is, and what
    bounds them. Below a real-time factor of 1 a model is faster than its signal.
    """
    asked = peer or peers
    if against is not None and not asked:
        raise typer.BadParameter("--against needs --peers")
    check_against(against, arg, weights, weights_key, state)
    to_stdout = markdown == _output.STANDARD_STREAM
    if to_stdout and json:
        raise typer.BadParameter("stdout takes one of --json and --markdown -")

    from rnnedge.benchmark import BenchOptions
    from rnnedge.benchmark import bench as measure
    from rnnedge.report.bench import BenchSummary
    from rnnedge.report.bench_markdown import to_markdown

    _check_files(save, markdown, plot, force=force)
    options = BenchOptions(
        chunk=chunk,
        batch=batch,
        hop_ms=hop_ms,
        provider=provider,
        provider_options=provider_settings(provider_option),
        provider_library=provider_library,
        threads=threads,
        seconds=seconds,
        calls=calls,
        sweep=sweep,
        max_p99_ms=max_p99_ms,
        max_rtf=max_rtf,
        seed=seed,
    )
    module = load_against(against, arg, weights, weights_key, state)
    report = measure(file, options, peers=asked, against=module, on_progress=_output.say)
    summary = BenchSummary(report)
    if to_stdout:
        print(to_markdown(report), end="", flush=True)
    else:
        _output.emit(summary, json=json)
    _write(report, save, None if to_stdout else markdown, plot)
    if not report.passed:
        _say_broken(report)
        raise typer.Exit(ExitCode.CHECK_FAILED)
    _output.hint("rnnedge", "run", file, "INPUT.npy", "--output", "OUTPUT.npy")


def _check_files(
    save: Path | None, markdown: Path | None, plot: Path | None, *, force: bool
) -> None:
    """Before anything is measured for them."""
    from rnnedge.report.plot import check_plot

    if _output.STANDARD_STREAM in (save, plot):
        raise typer.BadParameter("--save and --plot name files; --json prints the same on stdout")
    for option, path in (("--save", save), ("--markdown", markdown), ("--plot", plot)):
        if path is not None:
            _output.check_overwrite(path, force=force, option=option)
    if plot is not None:
        check_plot(plot, option="--plot")


def _write(
    report: BenchReport, save: Path | None, markdown: Path | None, plot: Path | None
) -> None:
    """The files that were asked for; each is whole, or not there."""
    from rnnedge.report.bench_markdown import to_markdown
    from rnnedge.report.bench_plot import plot_bench

    if save is not None:
        with _output.replacing(save) as part:
            part.write_text(_output.to_json(report.to_dict()) + "\n", encoding="utf-8")
    if markdown is not None:
        with _output.replacing(markdown) as part:
            part.write_text(to_markdown(report), encoding="utf-8")
    if plot is not None:
        with _output.replacing(plot) as part:
            plot_bench(part, report, kind=plot.suffix[1:].lower())
    for path in (save, markdown, plot):
        if path is not None:
            _output.say(f"wrote {path}")


def _say_broken(report: BenchReport) -> None:
    for budget in report.budgets:
        if not budget.passed:
            _output.say(f"budget broken: {budget}")
