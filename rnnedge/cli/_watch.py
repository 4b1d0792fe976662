"""`rnnedge train char-lm --watch-gradients`: how far back the gradients of each cell reach."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rnnedge.cli import _output

if TYPE_CHECKING:
    from rnnedge.zoo.char_lm import CharLMConfig, TrainingOptions
    from rnnedge.zoo.char_lm.corpus import Corpus

_OPTION = "--watch-gradients"


def check_watch(plot: Path, *, force: bool) -> None:
    """Refuses a plot that could not be drawn or written, before anything is trained.

    Raises:
        RnnEdgeError: matplotlib is missing, the file's kind is unknown, or it exists.
    """
    from rnnedge.report.plot import check_plot

    check_plot(plot, option=f"{_OPTION} {plot}")
    _output.check_overwrite(plot, force=force, option=_OPTION)


def watch(
    plot: Path,
    corpus: Corpus,
    config: CharLMConfig,
    options: TrainingOptions,
    seed: int,
    checkpoint: Path,
) -> None:
    """Measures the trained model beside the two other cells, draws, and warns.

    Args:
        plot: to write.
        corpus: the text.
        config: of the trained model.
        options: how it was trained, and how the others are.
        seed: of all of them.
        checkpoint: of the trained model.
    """
    from rnnedge.report.plot import plot_lines
    from rnnedge.zoo.char_lm.watching import measure_cells
    from rnnedge.zoo.gradients import EXPLODED, VANISHED, curves, findings

    reaches = measure_cells(
        corpus,
        config,
        options,
        seed,
        checkpoint,
        on_cell=lambda cell: _output.say(f"training {cell} for the comparison"),
    )
    first = next(iter(reaches.values())).norms[0]
    marks = {f"vanished: below {VANISHED:g}": VANISHED, f"exploded: above {EXPLODED:g}": EXPLODED}
    with _output.replacing(plot) as part:
        plot_lines(
            part,
            curves(reaches),
            title=f"Loss gradient with respect to earlier states, {config.hidden} units",
            across="characters back from the predicted one",
            up="norm of the gradient",
            marks={name: first * value for name, value in marks.items()},
            kind=plot.suffix[1:].lower(),
        )
    for sentence in findings(reaches):
        _output.warn(
            sentence,
            fix="nothing is learned over longer spans: train longer, or use another --cell"
            if "vanishes" in sentence
            else "cut gradients (--clip), or lower --learning-rate",
        )
    _output.say(f"wrote {plot}")
