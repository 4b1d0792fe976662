"""`rnnedge tune` on every example: nothing comes out slower or less exact than it went in.

Each example is exported as its README says and tuned with its module at hand, for pushes of one
run. What comes out is then laid beside what went in once more: the time of a push, by turns, and
the outputs.

Run it: ``python -m benchmarks.tuned [--seconds 10] [--min-snr-db 30]``
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import rnnedge
from benchmarks.example_models import EXAMPLES, Example
from rnnedge.benchmark import Against
from rnnedge.benchmark.subject import Subject
from rnnedge.benchmark.trials import take_turns
from rnnedge.tuning import TuneOptions, tune
from rnnedge.tuning.judge import Outputs


def measure_example(
    example: Example, seconds: float, min_snr_db: float | None
) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path = example.export(Path(folder))
        output = Path(folder) / "tuned.onnx"
        options = TuneOptions(seconds=seconds, min_snr_db=min_snr_db)
        report = tune(path, output, options, against=Against(example.module()))
        settings = dict(report.choice.settings)
        before, after = rnnedge.load(path), rnnedge.load(output, **settings)
        size = path.stat().st_size, output.stat().st_size
        steps = {
            name: Subject(path, model, report.chunk, 1, 1, seed=1).step()
            for name, model in {"before": before, "after": after}.items()
        }
    times = take_turns(steps, seconds=seconds / 3)
    distance = Outputs(before, seed=1).distance(after)
    return {
        "example": example.name,
        "chosen": report.chosen,
        "settings": settings,
        "before_us": times["before"].p50_us,
        "after_us": times["after"].p50_us,
        "differs_by": distance.worst,
        "bytes_before": size[0],
        "bytes_after": size[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--min-snr-db", type=float)
    options = parser.parse_args()
    print(f"{'example':<12}{'chosen':<20}{'before µs':>10}{'after µs':>10}{'faster':>8}", end="")
    print(f"{'differs by':>12}{'file':>17}")
    for example in EXAMPLES:
        row = measure_example(example, options.seconds, options.min_snr_db)
        print(f"{row['example']:<12}{row['chosen']:<20}{row['before_us']:>10.1f}", end="")
        print(f"{row['after_us']:>10.1f}{row['before_us'] / row['after_us']:>8.2f}", end="")
        print(f"{row['differs_by']:>12.1e}", end="")
        print(f"{row['bytes_before'] / 1e3:>8.0f}→{row['bytes_after'] / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
