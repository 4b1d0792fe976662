"""The examples as a device runs them: paced at a hop of 10 ms, and an hour's worth of frames.

* paced: one push every 10 ms, at deadlines that do not move; a push that is not done when the next
  one is due has missed its deadline. The worst push is told, from when it was due to its end.
* endurance: as many pushes as an hour has, back to back; the resident set after each tenth, and the
  median of the last tenth beside that of the second (the first warms up). Each is divided by that
  of a fixed matrix product, by turns with them, as the machine has ups and downs of its own.

Run it: ``python -m benchmarks.examples_live [--seconds 60] [--pushes 360000]``
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import rnnedge
from benchmarks.example_models import EXAMPLES, Example
from rnnedge.benchmark.memory import resident_bytes
from rnnedge.benchmark.pace import pace
from rnnedge.benchmark.subject import Subject

HOP_MS = 10.0
TENTHS = 10
CONTROL_EVERY = 100


@dataclass(frozen=True)
class Endurance:
    """An hour's worth of pushes, in tenths.

    Attributes:
        pushes: in all.
        median_us: of each tenth.
        control_us: of the matrix product, in each tenth.
        worst_us: of all.
        resident_bytes: after each tenth.
    """

    pushes: int
    median_us: list[float]
    control_us: list[float]
    worst_us: float
    resident_bytes: list[int]

    @property
    def drift(self) -> float:
        """The last tenth beside the second, the machine's own drift taken out."""
        parts = [
            own / control for own, control in zip(self.median_us, self.control_us, strict=True)
        ]
        return parts[-1] / parts[1]

    @property
    def grown_bytes(self) -> int:
        """From the end of the first tenth to that of the last."""
        return self.resident_bytes[-1] - self.resident_bytes[0]


def endure(step: Callable[[], object], pushes: int) -> Endurance:
    medians, controls, resident, worst = [], [], [], 0
    square = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    row = square[0].copy()
    for _ in range(TENTHS):
        times = array("q", bytes(8 * (pushes // TENTHS)))
        control = array("q")
        for index in range(len(times)):
            if index % CONTROL_EVERY == 0:
                control.append(timed(lambda: row @ square))
            times[index] = timed(step)
        medians.append(statistics.median(times) / 1000)
        controls.append(statistics.median(control) / 1000)
        worst = max(worst, *times)
        resident.append(resident_bytes() or 0)
    return Endurance(pushes, medians, controls, worst / 1000, resident)


def timed(step: Callable[[], object]) -> int:
    """Nanoseconds."""
    begin = time.perf_counter_ns()
    step()
    return time.perf_counter_ns() - begin


def step_of(example: Example, folder: Path) -> Callable[[], object]:
    path = example.export(folder)
    subject = Subject(path, rnnedge.load(path), example.frames, batch=1, threads=1, seed=0)
    return subject.step()


def measure_paced(seconds: float) -> list[dict[str, object]]:
    """Every example for so many seconds, one after the other, a push every 10 ms."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for example in EXAMPLES:
            paced = pace(step_of(example, Path(folder)), period_ms=HOP_MS, seconds=seconds)
            frames = example.frames
            rows.append({"example": example.name, "frames_per_push": frames, **paced.to_dict()})
    return rows


def measure_endurance(pushes: int) -> list[dict[str, object]]:
    """Every example for so many pushes, one after the other, back to back."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for example in EXAMPLES:
            lasted = endure(step_of(example, Path(folder)), pushes)
            facts = {"drift": lasted.drift, "grown_bytes": lasted.grown_bytes}
            rows.append({"example": example.name, **asdict(lasted), **facts})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pushes", type=int, default=360_000)
    options = parser.parse_args()
    print(f"paced at {HOP_MS:.0f} ms")
    print(f"{'example':<12}{'pushes':>8}{'p50 µs':>9}{'p99 µs':>9}{'worst µs':>10}{'missed':>8}")
    for row in measure_paced(options.seconds):
        print(f"{row['example']:<12}{row['calls']:>8,}{row['p50_us']:>9.0f}", end="")
        print(f"{row['p99_us']:>9.0f}{row['response_worst_us']:>10.0f}", end="")
        print(f"{row['deadline_misses']:>8}")
    print("back to back")
    print(f"{'example':<12}{'pushes':>8}{'p50 µs':>9}{'drift':>9}{'memory grew':>15}")
    for row in measure_endurance(options.pushes):
        print(f"{row['example']:<12}{row['pushes']:>8,}{row['median_us'][-1]:>9.1f}", end="")
        print(f"{row['drift']:>9.2f}{row['grown_bytes'] / 1024:>11.0f} KiB")


if __name__ == "__main__":
    main()
