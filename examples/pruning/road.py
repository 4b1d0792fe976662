"""From 256 hidden units to 128: train, take out units step by step, and train on in between.

Each line of the table is a network: its units, its validation loss right after units were taken
out and after training on, and the size and the time of a step of its ONNX file. The last line is a
network of the final size that was trained from the start for as many steps as all of the above.

Run it: ``python -m examples.pruning.road [--from 256] [--to 128] [--stops 3]``
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import rnnedge
from examples.pruning.narrow import effects, least, without
from rnnedge.benchmark.trials import Step, take_turns
from rnnedge.zoo.char_lm import CharLM, CharLMConfig, TrainingOptions, evaluate, train, use_threads
from rnnedge.zoo.char_lm.corpus import Corpus
from rnnedge.zoo.char_lm.model import new_model
from rnnedge.zoo.char_lm.streams import contiguous_streams
from rnnedge.zoo.char_lm.text import read_standard_library

BATCH, UNROLL = 16, 64
BATCHES = 50


def sizes(start: int, end: int, stops: int) -> Iterator[int]:
    """Of the networks on the way, each smaller by the same factor, in multiples of 8."""
    for stop in range(1, stops):
        yield round(start * (end / start) ** (stop / stops) / 8) * 8
    yield end


def learn(model: CharLM, corpus: Corpus, steps: int, rate: float) -> None:
    model.train()
    for _ in train(model, corpus.training, TrainingOptions(steps, BATCH, UNROLL, rate)):
        pass


def step_of(model: CharLM, folder: Path) -> tuple[Step, int]:
    """One push of the exported network, and the size of its file in bytes."""
    path = folder / f"{model.config.hidden}.onnx"
    result = rnnedge.export(model.eval(), path, inputs={"tokens": "int64[batch, time]"}, force=True)
    if not result.kept:
        raise SystemExit(f"the proof failed:\n{result.parity}")
    stream, token = rnnedge.load(path).stream(), np.ones((1, 1), np.int64)
    return lambda: stream.push(token), path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="start", type=int, default=256)
    parser.add_argument("--to", dest="end", type=int, default=128)
    parser.add_argument("--stops", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000, help="of the first training")
    parser.add_argument("--steps-between", type=int, default=1000)
    parser.add_argument("--max-chars", type=int, default=2_000_000)
    options = parser.parse_args()
    use_threads(1)
    torch.manual_seed(0)
    corpus = Corpus.of(read_standard_library(options.max_chars))
    streams = contiguous_streams(corpus.training, BATCH)

    model = new_model(corpus.vocabulary, CharLMConfig(hidden=options.start), seed=0)
    learn(model, corpus, options.steps, 5e-3)
    lines = [(model, float("nan"), evaluate(model, corpus.validation))]
    for hidden in sizes(options.start, options.end, options.stops):
        kept = least(effects(model.train(), streams, UNROLL, BATCHES), hidden)
        model = without(model, kept)
        cut = evaluate(model, corpus.validation)
        learn(model, corpus, options.steps_between, 2e-3)
        lines.append((model, cut, evaluate(model, corpus.validation)))
    scratch = new_model(corpus.vocabulary, CharLMConfig(hidden=options.end), seed=0)
    learn(scratch, corpus, options.steps + options.stops * options.steps_between, 5e-3)
    lines.append((scratch, float("nan"), evaluate(scratch, corpus.validation)))

    with tempfile.TemporaryDirectory() as folder:
        exported = [step_of(network, Path(folder)) for network, *_ in lines]
        times = take_turns({str(i): step for i, (step, _) in enumerate(exported)}, seconds=3)
    print("bits per character on text that was not trained on")
    print(f"{'units':<16}{'after the cut':>14}{'trained on':>12}{'µs a step':>11}{'file':>10}")
    for index, ((network, cut, bits), (_, size)) in enumerate(zip(lines, exported, strict=True)):
        name = str(network.config.hidden) + (", from scratch" if network is scratch else "")
        text = "-" if np.isnan(cut) else f"{cut:.3f}"
        print(f"{name:<16}{text:>14}{bits:>12.3f}{times[str(index)].p50_us:>11.1f}", end="")
        print(f"{size / 1000:>7.0f} kB")


if __name__ == "__main__":
    main()
