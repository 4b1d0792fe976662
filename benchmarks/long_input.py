"""A long signal in few calls, beside the same graph and the same PyTorch module without a stream.

* op: ``session.run`` of the file with zero states: what the whole-sequence operator takes.
* run: ``Model.run``.
* push: one ``Stream.push`` of everything.
* chunks: ``Stream.push`` of 1,000 frames at a time.
* torch: the module itself, in inference mode.

By turns in one process, one thread, batch 1; medians. The last column is the real-time factor's
inverse of the chunks at 100 frames a second: seconds of signal per second.
Run it: ``python -m benchmarks.long_input [--frames 10000] [--rounds 7]``
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import rnnedge
from benchmarks.cells import Cell

CELLS = [
    Cell("LSTM", 16, 32),
    Cell("LSTM", 64, 128, 2),
    Cell("LSTM", 256, 256),
    Cell("GRU", 64, 128, 2),
    Cell("GRU", 512, 512, 2),
    Cell("RNN", 64, 128, 2),
]
CHUNK = 1000
FRAMES_PER_SECOND = 100


def steps_of(
    module: nn.Module, model: rnnedge.Model, x: np.ndarray
) -> dict[str, Callable[[], object]]:
    states = model.initial_state(1)
    feed = {"x": x, **{s.input: states[s.name] for s in model.contract.states}}
    stream, piecewise = model.stream(), model.stream()
    signal = torch.from_numpy(x)

    @torch.inference_mode()
    def by_torch() -> object:
        return module(signal)

    return {
        "op": lambda: model.session.run(None, feed),
        "run": lambda: model.run(x),
        "push": lambda: stream.push(x),
        "chunks": lambda: [
            piecewise.push(x[:, start : start + CHUNK]) for start in range(0, x.shape[1], CHUNK)
        ],
        "torch": by_torch,
    }


def medians_s(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:  # the first round warms up
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def measure(frames: int, rounds: int) -> list[dict[str, object]]:
    """Seconds for all frames, by cell and way."""
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    for cell in CELLS:
        with tempfile.TemporaryDirectory() as folder:
            model = rnnedge.load(cell.export(Path(folder)))
        x = np.random.default_rng(0).standard_normal((1, frames, cell.features))
        s = medians_s(steps_of(cell.module(), model, x.astype(np.float32)), rounds)
        rows.append({"cell": str(cell), "frames": frames, "seconds": s})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(f"{'cell':<18}{'op ms':>8}{'run/op':>8}{'push/op':>9}{'chunks/op':>11}", end="")
    print(f"{'torch/push':>12}{'times real time':>17}")
    for row in measure(arguments.frames, arguments.rounds):
        s = row["seconds"]
        print(f"{row['cell']:<18}{s['op'] * 1e3:>8.0f}{s['run'] / s['op']:>8.2f}", end="")
        print(f"{s['push'] / s['op']:>9.2f}{s['chunks'] / s['op']:>11.2f}", end="")
        print(f"{s['torch'] / s['push']:>12.2f}", end="")
        print(f"{arguments.frames / FRAMES_PER_SECOND / s['chunks']:>17.0f}")


if __name__ == "__main__":
    main()
