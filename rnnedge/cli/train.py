"""`rnnedge train`: small models, trained on this machine, ready to export."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import ForceFlag, JsonFlag, OutputOption, SeedOption, ThreadsOption
from rnnedge.cli._output import STANDARD_STREAM, ExitCode
from rnnedge.cli._train_zoo import zoo
from rnnedge.cli._watch import check_watch, watch

if TYPE_CHECKING:
    from rnnedge.zoo.char_lm import CharLMConfig, TrainingOptions
    from rnnedge.zoo.char_lm.corpus import Corpus
    from rnnedge.zoo.char_lm.summary import TrainingSummary
    from rnnedge.zoo.char_lm.training import Progress

app = typer.Typer(
    name="train",
    help="Train a small model on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_RECENT_STEPS = 100
"""The training loss shown is the mean over so many last steps."""
_DEFAULT_STEPS = 3000

_Show: TypeAlias = Callable[["Progress", float], None]


app.command("zoo")(zoo)


@app.command("char-lm")
def char_lm(
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="UTF-8 text; - for stdin (default: the sources of Python's standard library).",
        ),
    ] = None,
    max_chars: Annotated[
        int, typer.Option(metavar="N", min=1, help="Use no more of the text than this.")
    ] = 2_000_000,
    cell: Annotated[Literal["lstm", "gru", "rnn"], typer.Option(help="The recurrent cell.")] = (
        "lstm"
    ),
    layers: Annotated[int, typer.Option(metavar="N", min=1, help="Recurrent layers.")] = 1,
    hidden: Annotated[int, typer.Option(metavar="N", min=1, help="Units of each layer.")] = 192,
    embedding: Annotated[
        int, typer.Option(metavar="N", min=1, help="Features of a character.")
    ] = 64,
    one_hot: Annotated[
        bool, typer.Option("--one-hot", help="Feed characters as one-hot vectors, not embedded.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help=f"Updates to make (default: {_DEFAULT_STEPS})."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Passes through the text, in place of --steps."),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Streams side by side.")] = 16,
    unroll: Annotated[
        int, typer.Option(metavar="N", min=1, help="Characters that gradients flow back through.")
    ] = 64,
    learning_rate: Annotated[
        float, typer.Option(metavar="RATE", min=0, help="Of Adam, at its highest.")
    ] = 5e-3,
    clip: Annotated[
        float, typer.Option(metavar="NORM", min=0, help="Longer gradients are cut to this.")
    ] = 1.0,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    output: OutputOption = Path("char-lm.safetensors"),
    watch_gradients: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Plot how far back gradients reach (.png, .svg or .pdf), of this cell and of the "
            "two others, which are trained as long for it.",
        ),
    ] = None,
    force: ForceFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a character language model.

    It is judged on the last tenth of the text, beside a model that counts pairs of characters.
    Ctrl-C stops early and keeps what was learned; a second Ctrl-C gives up.
    """
    if steps is not None and epochs is not None:
        raise typer.BadParameter("--steps and --epochs say the same thing; give one")
    if output == STANDARD_STREAM:
        raise typer.BadParameter("a checkpoint cannot go to stdout", param_hint="--output")
    _output.check_overwrite(output, force=force)
    if watch_gradients is not None:
        check_watch(watch_gradients, force=force)

    from rnnedge.zoo.char_lm import CharLMConfig, TrainingOptions, use_threads
    from rnnedge.zoo.char_lm.corpus import Corpus
    from rnnedge.zoo.char_lm.text import read_standard_library, read_text
    from rnnedge.zoo.char_lm.training import steps_per_epoch

    use_threads(threads)
    config = CharLMConfig(cell, layers, hidden, None if one_hot else embedding)
    corpus = Corpus.of(read_text(text, max_chars) if text else read_standard_library(max_chars))
    if epochs is not None:
        steps = epochs * steps_per_epoch(len(corpus.training), batch, unroll)
    options = TrainingOptions(steps or _DEFAULT_STEPS, batch, unroll, learning_rate, clip)
    source = "Python's standard library" if text is None else str(text)
    summary = _train(corpus, source, config, options, seed, output)
    if watch_gradients is not None and not summary.interrupted:
        watch(watch_gradients, corpus, config, options, seed, output)
    _output.emit(summary, json=json)
    _hint_export(output)
    if summary.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _train(
    corpus: Corpus,
    source: str,
    config: CharLMConfig,
    options: TrainingOptions,
    seed: int,
    output: Path,
) -> TrainingSummary:
    from rnnedge.zoo.char_lm import Bigram, evaluate, save_checkpoint, train
    from rnnedge.zoo.char_lm.model import new_model
    from rnnedge.zoo.char_lm.summary import TrainingSummary

    model = new_model(corpus.vocabulary, config, seed)
    recent: deque[float] = deque(maxlen=_RECENT_STEPS)
    started = time.perf_counter()
    with _first_interrupt() as is_interrupted, _progress(options.steps) as show:
        for progress in train(model, corpus.training, options):
            recent.append(progress.bits_per_character)
            show(progress, sum(recent) / len(recent))
            if is_interrupted():
                break
    train_s = time.perf_counter() - started
    validation_bits = evaluate(model, corpus.validation)
    with _output.replacing(output) as part:
        save_checkpoint(model, part)
    return TrainingSummary(
        output=output,
        size_bytes=output.stat().st_size,
        network=str(config),
        parameters=model.parameter_count,
        text=source,
        training_characters=len(corpus.training),
        validation_characters=corpus.validation.targets.size,
        unknown_characters=corpus.unknown_characters,
        vocabulary_size=len(corpus.vocabulary),
        steps=progress.step,
        interrupted=progress.step < options.steps,
        train_s=train_s,
        training_bits_per_character=sum(recent) / len(recent),
        validation_bits_per_character=validation_bits,
        bigram_bits_per_character=Bigram(
            corpus.training, len(corpus.vocabulary)
        ).bits_per_character(corpus.validation),
    )


@contextmanager
def _first_interrupt() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a question to ask between steps; the second acts as usual."""
    came = False
    previous = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _progress(steps: int) -> Iterator[_Show]:
    """Shows progress on stderr: a bar on a terminal, else a line for each tenth of the way."""
    console = _output.stderr()
    if _output.settings.quiet or not console.is_terminal:
        yield lambda progress, bits: _say_tenths(steps, progress, bits)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[bits]:.3f} bits per character"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=steps, epoch=1, bits=0.0)
        yield lambda progress, bits: bar.update(
            task, completed=progress.step, epoch=progress.epoch, bits=bits
        )


def _say_tenths(steps: int, progress: Progress, bits: float) -> None:
    if progress.step * 10 // steps > (progress.step - 1) * 10 // steps:
        _output.say(
            f"step {progress.step} of {steps}, epoch {progress.epoch}: "
            f"{bits:.3f} bits per character in training"
        )


def _hint_export(checkpoint: Path) -> None:
    _output.hint(
        "rnnedge",
        "export",
        "rnnedge.zoo.char_lm:from_checkpoint",
        "--arg",
        f"checkpoint={checkpoint}",
        "--input",
        "tokens: int64[batch, time]",
        "--output",
        checkpoint.with_suffix(".onnx"),
    )
