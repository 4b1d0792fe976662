"""Line plots. matplotlib is needed for them, and for nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnedge_runtime.errors import RnnEdgeError

_KINDS = (".png", ".svg", ".pdf")


def check_plot(path: Path, *, option: str) -> None:
    """Refuses what cannot be drawn, before anything is computed for it.

    Args:
        path: of the plot.
        option: where the user gave it.

    Raises:
        RnnEdgeError: matplotlib is not installed, or the file's kind is unknown.
    """
    if path.suffix.lower() not in _KINDS:
        raise RnnEdgeError(
            f"a plot is a {', '.join(_KINDS)} file, got {path.name!r}",
            where=option,
            fix=f"name a file that ends in {' or '.join(_KINDS)}",
        )
    try:
        importlib.import_module("matplotlib")
    except ModuleNotFoundError as error:
        raise RnnEdgeError(
            "drawing needs matplotlib, which is not installed",
            where=option,
            fix='pip install "rnnedge[plot]"',
        ) from error


def plot_lines(
    path: Path,
    lines: Mapping[str, Sequence[float]],
    *,
    title: str,
    across: str,
    up: str,
    marks: Mapping[str, float],
    kind: str | None = None,
) -> None:
    """Draws lines on a logarithmic scale.

    Args:
        path: to write to.
        lines: values at 0, 1, 2, ... by name.
        title: above the plot.
        across: what the horizontal axis is.
        up: what the vertical axis is.
        marks: horizontal lines by name.
        kind: ``png``, ``svg`` or ``pdf``; None for what the path says.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, values in lines.items():
        axes.plot(range(len(values)), values, label=name)
    for name, value in marks.items():
        axes.axhline(value, color="gray", linestyle=":", linewidth=1)
        axes.annotate(name, (0, value), fontsize="small", color="gray", va="bottom")
    axes.set(title=title, xlabel=across, ylabel=up, yscale="log")
    axes.legend()
    figure.savefig(path, format=kind or path.suffix[1:].lower())
