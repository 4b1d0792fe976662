"""How the times of a benchmark are distributed, drawn: a histogram, and the share that is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnedge.report.units import frames_text

if TYPE_CHECKING:
    from rnnedge.benchmark.result import BenchReport

_BINS = 120


def plot_bench(path: Path, report: BenchReport, *, kind: str | None = None) -> None:
    """Draws calls back to back, paced ones and peers, with the deadline.

    Args:
        path: to write to.
        report: what was measured.
        kind: ``png``, ``svg`` or ``pdf``; None for what the path says.
    """
    from matplotlib.figure import Figure

    times = {"back to back": report.timings.ns / 1e3}
    if report.paced is not None:
        times["paced"] = report.paced.timings.ns / 1e3
    times |= {p.name: p.timings.ns / 1e3 for p in report.peers if p.timings is not None}
    least = min(float(values.min()) for values in times.values())
    most = max(float(values.max()) for values in times.values())
    bins = np.geomspace(max(least, 1e-3), max(most, least * 1.01), _BINS)
    figure = Figure(figsize=(8, 6), layout="constrained")
    histogram, curve = figure.subplots(2, 1, sharex=True)
    for name, values in times.items():
        share = np.full(len(values), 100 / len(values))
        histogram.hist(values, bins, weights=share, histtype="step", label=name)
        ordered = np.sort(values)
        curve.plot(ordered, np.arange(1, len(ordered) + 1) / len(ordered) * 100, label=name)
    if report.called.signal_us is not None:
        for axes in (histogram, curve):
            axes.axvline(report.called.signal_us, color="gray", linestyle=":")
        curve.annotate(
            f"deadline {report.called.signal_us / 1e3:.3g} ms",
            (report.called.signal_us, 50),
            fontsize="small",
            color="gray",
            rotation=90,
            ha="right",
            va="center",
        )
    histogram.set(
        title=f"{report.called.file}: {frames_text(report.called.frames)} per call, "
        f"batch {report.called.batch}",
        ylabel="calls, %",
        xscale="log",
    )
    curve.set(xlabel="µs per call", ylabel="calls done, %")
    histogram.legend(fontsize="small")
    figure.savefig(path, format=kind or path.suffix[1:].lower())
