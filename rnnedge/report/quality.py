"""What a quantised file lost, output by output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rnnedge.report.tables import new_table
from rnnedge.report.units import frames_text

if TYPE_CHECKING:
    from rnnedge.quality import OutputQuality, Quality


class QualitySummary:
    """What `rnnedge verify` prints of two files."""

    def __init__(self, quality: Quality, broken: Sequence[str]) -> None:
        """`broken` tells what of the budget does not hold."""
        self._quality = quality
        self._broken = list(broken)

    def to_dict(self) -> Mapping[str, Any]:
        """The quality, as it is stored in the file, and the verdict."""
        return {
            **self._quality.to_dict(),
            "passed": not self._broken,
            "broken": self._broken,
        }

    def to_rich(self) -> RenderableType:
        """A table of outputs, what the metric says, and the verdict."""
        lines = [*metric_lines(self._quality), *(f"budget broken: {b}" for b in self._broken)]
        return Group(quality_table(self._quality), *map(Text, lines))

    def to_line(self) -> str:
        """The verdict."""
        return "failed" if self._broken else "passed"


def quality_table(quality: Quality) -> Table:
    """One row per output."""
    table = new_table(
        "output", "signal to noise", "largest error", "relative error over time", "grows",
        title="beside the float file",
    )  # fmt: skip
    for output in quality.outputs:
        table.add_row(
            Text(output.name),
            snr_text(output.snr_db),
            f"{output.max_abs:.2g}",
            _over_time(output),
            _growth(output),
        )
    rows = "1 row" if quality.rows == 1 else f"{quality.rows} rows"
    table.caption = Text(
        f"{quality.data}: {rows} of {frames_text(quality.frames)}, "
        f"{frames_text(quality.chunk_frames)} per push"
    )
    table.caption_justify = "left"
    return table


def metric_lines(quality: Quality) -> list[str]:
    """What the user's metric says."""
    if quality.metric is None:
        return []
    numbers = [f"{name.replace('_', ' ')} {value:.5g}" for name, value in quality.numbers.items()]
    return [f"metric {quality.metric}: {', '.join([f'drop {quality.drop:.4g}', *numbers])}"]


def snr_text(snr_db: float) -> str:
    """``38.9 dB``."""
    return f"{snr_db:.1f} dB" if math.isfinite(snr_db) else "no difference"


def _over_time(output: OutputQuality) -> str:
    """First, middle and last tenth."""
    tenths = output.tenths
    if len(tenths) < 3:
        return "no time axis"
    places = (tenths[0], tenths[len(tenths) // 2], tenths[-1])
    return " → ".join(f"{value:.2g}" for value in places)


def _growth(output: OutputQuality) -> Text:
    if output.growth is None:
        return Text("-")
    if output.grows:
        return Text(f"yes, {output.growth:.1f} times", style="bold red")
    return Text("no", style="green")
