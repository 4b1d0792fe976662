"""All that the README's figures come from, in one run, kept as JSON with the machine's facts.

``python -m benchmarks`` takes about 20 minutes; ``--quick`` takes three, and shows only that all of
it works. ``--save FILE`` keeps the numbers; with ``--only PART`` the other parts of a file stay, if
they are of the same machine. ``--figure FILE`` draws them: ``FILE.svg`` and ``FILE-dark.svg``.
Ratios within one part are what to look at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import device_memory, examples_live, long_input, many_streams, step
from benchmarks.figure import draw
from rnnedge.report.machine import machine_facts

SCHEMA_VERSION = 1


def parts(*, quick: bool) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """What is measured, by name."""
    share = 0.1 if quick else 1.0
    return {
        "step": lambda: step.measure(seconds=120 * share),
        "step_of_16_frames": lambda: step.measure(seconds=60 * share, frames=16),
        "many_streams": lambda: many_streams.measure(seconds=80 * share),
        "long_input": lambda: long_input.measure(frames=int(10_000 * share), rounds=5),
        "device_memory": device_memory.measure,
        "paced": lambda: examples_live.measure_paced(seconds=60 * share / (5 if quick else 1)),
        "endurance": lambda: examples_live.measure_endurance(pushes=int(360_000 * share**2)),
    }


def machine() -> dict[str, Any]:
    return dict(json.loads(json.dumps(machine_facts())))  # as a file has it: they are compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--save", type=Path, metavar="FILE.json")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="without .svg")
    parser.add_argument("--only", action="append", metavar="PART")
    options = parser.parse_args()
    wanted = parts(quick=options.quick)
    if unknown := set(options.only or ()) - set(wanted):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(wanted)}")
    results: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "machine": machine(), "parts": {}}
    if options.save and options.only and options.save.exists():
        before = json.loads(options.save.read_text())
        if before["machine"] == results["machine"]:
            results = before
    for name, measure in wanted.items():
        if options.only and name not in options.only:
            continue
        print(f"{name} ...", flush=True)
        results["parts"][name] = {
            "date": datetime.now(UTC).date().isoformat(),
            "is_quick": options.quick,
            "rows": measure(),
        }
        if options.save:  # after each part: a run that is broken off has not been for nothing
            options.save.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if options.figure and "step" in results["parts"]:
        draw(results["parts"]["step"]["rows"], options.figure)


if __name__ == "__main__":
    main()
