"""Int8 against float, one frame, one row, one thread: RNN, GRU and LSTM at 256 and 512.

Each cell is exported as users do, quantised in every kind, and pushed by turns in one process with
the float file, and with OpenVINO and tract on the float file where they are installed. Medians in
microseconds; ratios of medians, and of the fastest tenth, which other work on the machine disturbs
less. Signal to noise is of 1,000 random frames through random weights; a trained network is judged
by its own metric (docs/quantize.md).

int8 of OpenVINO and LiteRT: `benchmarks/quantized_by_others.py`.

``--least`` prints what small layers take, the step in products beside the float operator: where the
two meet is where `rnnedge_exporters.quantize.plan` begins to compute in integers.
Run it: ``python -m benchmarks.quantized [--seconds 60] [--least]``
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import rnnedge
from benchmarks.cells import Cell
from rnnedge.benchmark.peers.run import choose_peers, ready_peers
from rnnedge.benchmark.subject import Subject
from rnnedge.benchmark.trials import take_turns
from rnnedge.quality import compare
from rnnedge_exporters.quantize import QuantizeOptions, quantize_model

CELLS = [Cell(kind, size, size) for size in (256, 512) for kind in ("RNN", "GRU", "LSTM")]
SMALL = [Cell(kind, size, size) for kind in ("RNN", "GRU", "LSTM") for size in (32, 64, 128, 192)]
KINDS = ("int8", "weights8", "weights4")
PEERS = ("openvino", "tract")


def measure_cell(cell: Cell, seconds: float, kinds: tuple[str, ...], peers: bool) -> dict[str, Any]:
    """Sizes, noise and times of one cell."""
    with tempfile.TemporaryDirectory() as folder:
        path = cell.export(Path(folder))
        data, model = path.read_bytes(), rnnedge.load(path)
        files = {
            kind: quantize_model(data, QuantizeOptions(kind=kind, compute_from=0)).to_bytes()
            for kind in kinds
        }
        candidates = {kind: rnnedge.load(file) for kind, file in files.items()}
        noise = {kind: compare(one, model).snr_db for kind, one in candidates.items()}
        asked = choose_peers(PEERS if peers else (), None)
        subject = Subject(path, model, 1, batch=1, threads=1, seed=0)
        _, others = ready_peers(subject, asked, lambda text: None)
    x = np.random.default_rng(0).standard_normal((1, 1, cell.features), dtype=np.float32)
    streams = {name: one.stream() for name, one in {"float": model, **candidates}.items()}
    steps = {name: (lambda s=stream: s.push(x)) for name, stream in streams.items()}
    times = take_turns({**steps, **others}, seconds=seconds)
    return {
        "cell": str(cell),
        "smaller": {kind: len(data) / len(file) for kind, file in files.items()},
        "snr_db": noise,
        "us": {name: taken.p50_us for name, taken in times.items()},
        "fast_us": {name: taken.percentile_us(10) for name, taken in times.items()},
    }


def measure(seconds: float, cells: list[Cell], kinds: tuple[str, ...], peers: bool) -> list[Any]:
    """`measure_cell` for each."""
    torch.set_num_threads(1)
    return [measure_cell(cell, seconds / len(cells), kinds, peers) for cell in cells]


def show(rows: list[Any], kinds: tuple[str, ...]) -> None:
    """Times, then for every kind how many times faster and smaller, and the noise."""
    names = list(rows[0]["us"])
    print(f"{'µs':<18}" + "".join(f"{name:>12}" for name in names))
    for row in rows:
        print(f"{row['cell']:<18}" + "".join(f"{row['us'].get(n, np.nan):>12.1f}" for n in names))
    print(
        f"\n{'against float':<18}{'':>10}{'faster':>9}{'fastest tenth':>15}{'smaller':>9}{'dB':>7}"
    )
    for row in rows:
        for kind in kinds:
            faster = row["us"]["float"] / row["us"][kind]
            tenth = row["fast_us"]["float"] / row["fast_us"][kind]
            print(f"{row['cell']:<18}{kind:>10}{faster:>9.2f}{tenth:>15.2f}", end="")
            print(f"{row['smaller'][kind]:>9.2f}{row['snr_db'][kind]:>7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--least", action="store_true")
    options = parser.parse_args()
    if options.least:
        show(measure(options.seconds, SMALL, ("int8",), peers=False), ("int8",))
    else:
        show(measure(options.seconds, CELLS, KINDS, peers=True), KINDS)


if __name__ == "__main__":
    main()
