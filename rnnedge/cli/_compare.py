"""`rnnedge verify` of a quantised file: how far it is from its float file."""

from __future__ import annotations

from pathlib import Path

import typer

from rnnedge.cli import _output
from rnnedge.cli._output import ExitCode


def compare_files(
    file: Path,
    reference: Path,
    data: Path | None,
    metric: str | None,
    budget: tuple[float | None, float | None],
    *,
    chunk: int | None,
    seed: int,
    json: bool,
    provider: str,
    provider_options: dict[str, str],
    provider_library: Path | None,
    threads: int,
) -> None:
    """Streams both through the same data, prints what differs, and ends with the budget's verdict.

    Args:
        file: the quantised file; the provider is for it, the float file runs on the CPU.
        reference: the float file.
        data: what both run on; None for random signals.
        metric: names the task's own measure.
        budget: the largest drop, and the least signal to noise in dB.
        chunk: frames per push; None for the fewest.
        seed: of random signals.
        json: print JSON.
        provider: for `file`, as are those below.
        provider_options: handed on.
        provider_library: a plugin.
        threads: of one run.
    """
    max_drop, min_snr_db = budget
    if max_drop is not None and metric is None:
        raise typer.BadParameter("--max-drop needs --metric; --min-snr-db needs none")

    from rnnedge.cli._data import load_data
    from rnnedge.quality import Budget, compare, load_metric
    from rnnedge.report.quality import QualitySummary
    from rnnedge_runtime import load

    candidate = load(
        file,
        provider=provider,
        provider_options=provider_options,
        provider_library=provider_library,
        threads=threads,
    )
    model = load(reference)
    given = None if data is None else load_data(data, model.contract)
    quality = compare(
        candidate,
        model,
        None if given is None else given[0],
        metric=None if metric is None else load_metric(metric),
        data=None if given is None else given[1],
        name="" if data is None else data.name,
        chunk=chunk,
        seed=seed,
    )
    broken = Budget(max_drop, min_snr_db).broken_by(quality)
    _output.emit(QualitySummary(quality, broken), json=json)
    if broken:
        raise typer.Exit(ExitCode.CHECK_FAILED)
    _output.hint("rnnedge", "run", file, "INPUT.npy", "--output", "OUTPUT.npy")
