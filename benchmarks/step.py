"""One frame of a recurrent network, by every way of running it; batch 1, one thread.

* push, into: ``Stream.push`` and ``Stream.push_into``: checked, copied in and out.
* bare: onnxruntime's ``run_with_iobinding`` on buffers bound once; nothing is checked or copied.
* onnxruntime: ``session.run`` with numpy arrays by name, the states fed back by hand.
* torch eager: the module, stepped with its state. openvino, tract: the same file in these runtimes.
* limit: the weights read once, by a matrix-vector product of as many bytes (`rnnedge bench`).

All are timed by turns in one process, after each has been compared with the stream; medians in
microseconds. Packages that are not installed are left out.
Run it: ``python -m benchmarks.step [--seconds 60] [--frames 1]``
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

import rnnedge
from benchmarks.cells import Cell, bare
from rnnedge.benchmark.peers.run import choose_peers, ready_peers
from rnnedge.benchmark.peers.torch_module import Against
from rnnedge.benchmark.roofline import Reading
from rnnedge.benchmark.subject import Subject
from rnnedge.benchmark.trials import take_turns

CELLS = [
    Cell("GRU", 8, 8),
    Cell("LSTM", 16, 32),
    Cell("LSTM", 64, 128),
    Cell("LSTM", 64, 128, 2),
    Cell("LSTM", 256, 256),
    Cell("GRU", 64, 128, 2),
    Cell("GRU", 512, 512, 2),
    Cell("RNN", 64, 128, 2),
]
PEERS = ("onnxruntime", "torch", "openvino", "tract")


def measure_cell(cell: Cell, frames: int, seconds: float) -> dict[str, object]:
    """Microseconds for one push of `frames` frames, by way."""
    with tempfile.TemporaryDirectory() as folder:
        path = cell.export(Path(folder))
        model = rnnedge.load(path)
        subject = Subject(path, model, frames, batch=1, threads=1, seed=0)
        asked = choose_peers(PEERS, Against(cell.module()))
        outcomes, peers = ready_peers(subject, asked, lambda text: None)
    x = np.random.default_rng(0).standard_normal((1, frames, cell.features), dtype=np.float32)
    stream, into = model.stream(), model.stream()
    out = np.empty_like(stream.push(x))
    reading = Reading(4 * cell.multiply_adds)
    steps = {
        "push": lambda: stream.push(x),
        "into": lambda: into.push_into(x, out),
        "bare": bare(model, {"x": x}),
        **peers,
        **reading.steps,
    }
    times = take_turns(steps, seconds=seconds)
    us = {name: times[name].p50_us for name in steps if name not in reading.steps}
    us["limit"] = reading.limit(times).limit_us * frames
    left_out = {one.name: one.detail for one in outcomes if one.name not in peers}
    return {"cell": str(cell), "frames": frames, "us": us, "left_out": left_out}


def measure(seconds: float, frames: int = 1) -> list[dict[str, object]]:
    """`measure_cell` for every cell."""
    torch.set_num_threads(1)
    return [measure_cell(cell, frames, seconds / len(CELLS)) for cell in CELLS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--frames", type=int, default=1)
    options = parser.parse_args()
    rows = measure(options.seconds, options.frames)
    names = list(rows[0]["us"])
    print(f"{'µs':<18}" + "".join(f"{name:>13}" for name in names) + f"{'push-bare':>11}")
    for row in rows:
        us = row["us"]
        print(f"{row['cell']:<18}", end="")
        print(
            "".join(f"{us[name]:>13.1f}" if name in us else f"{'-':>13}" for name in names), end=""
        )
        print(f"{us['push'] - us['bare']:>11.1f}")
    print(f"\n{'times push':<18}" + "".join(f"{name:>13}" for name in names))
    for row in rows:
        us = row["us"]
        ratios = {name: value / us["push"] for name, value in us.items()}
        print(f"{row['cell']:<18}", end="")
        print("".join(f"{ratios[n]:>13.2f}" if n in ratios else f"{'-':>13}" for n in names))
    for name, why in {n: w for row in rows for n, w in row["left_out"].items()}.items():
        print(f"{name} left out: {why}")


if __name__ == "__main__":
    main()
