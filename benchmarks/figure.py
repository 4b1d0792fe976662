"""Draws the README's figure from the results of ``python -m benchmarks``: light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WAYS = {
    "torch eager": "PyTorch, stepped",
    "OpenVINO": "OpenVINO",
    "tract": "tract",
    "session.run": "onnxruntime, session.run",
    "push": "rnnedge, Stream.push",
    "limit": "weights read once",
}
STYLES = {
    "": {"ink": "#1f2328", "grid": "#d0d7de", "ours": "#0969da", "limit": "#8c959f"},
    "-dark": {"ink": "#e6edf3", "grid": "#30363d", "ours": "#58a6ff", "limit": "#6e7681"},
}
OTHERS = ("#bc4c00", "#8250df", "#1a7f37", "#bf8700")


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes ``path.svg`` and ``path-dark.svg``: µs of a step, by cell and way, logarithmic.

    Args:
        rows: of the part ``step``.
        path: without a suffix.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    for suffix, style in STYLES.items():
        # Text as text, and no date: the same numbers give the same file.
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "rnnedge"}):
            figure = Figure(figsize=(8.5, 4.2), layout="constrained")
            figure.patch.set_alpha(0)
            axes = figure.add_subplot()
            axes.patch.set_alpha(0)
            others = iter(OTHERS)
            for way, label in WAYS.items():
                values = [row["us"].get(way) for row in rows]
                ours, limit = way == "push", way == "limit"
                color = style["ours"] if ours else style["limit"] if limit else next(others)
                axes.plot(
                    range(len(rows)),
                    values,
                    linestyle=":" if limit else "none",
                    marker="_" if limit else "o" if ours else "D",
                    markersize=9 if ours else 6,
                    color=color,
                    label=label,
                )
            axes.set_yscale("log")
            axes.set_ylim(bottom=1)
            axes.set_xticks(range(len(rows)), [row["cell"].replace(" ", "\n", 1) for row in rows])
            axes.set_ylabel("µs for one frame")
            axes.grid(axis="y", color=style["grid"], linewidth=0.6)
            axes.tick_params(colors=style["ink"], which="both")
            axes.yaxis.label.set_color(style["ink"])
            for spine in axes.spines.values():
                spine.set_color(style["grid"])
            axes.legend(frameon=False, labelcolor=style["ink"], fontsize="small", ncols=2)
            target = path.with_name(f"{path.name}{suffix}.svg")
            figure.savefig(target, metadata={"Date": None}, transparent=True)
