"""The results of ``python -m benchmarks`` as the tables of docs/performance.md.

Run it: ``python -m benchmarks.tables benchmarks/results.json``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
_MIB, _KIB = 2**20, 2**10


def step(rows: Sequence[Row]) -> Iterator[str]:
    names = list(rows[0]["us"])
    yield f"{'µs a push':<18}" + "".join(f"{name:>13}" for name in names) + f"{'push-bare':>11}"
    for row in rows:
        us = row["us"]
        values = "".join(f"{us[n]:>13.1f}" if n in us else f"{'-':>13}" for n in names)
        yield f"{row['cell']:<18}{values}{us['push'] - us['bare']:>11.1f}"
    yield ""
    yield f"{'times push':<18}" + "".join(f"{name:>13}" for name in names)
    for row in rows:
        us = row["us"]
        values = (f"{us[n] / us['push']:>13.2f}" if n in us else f"{'-':>13}" for n in names)
        yield f"{row['cell']:<18}" + "".join(values)


def many_streams(rows: Sequence[Row]) -> Iterator[str]:
    names = list(rows[0]["us_per_stream_step"])[1:]
    yield f"{'':<14}{'lone µs':>9}" + "".join(f"{name:>17}" for name in names)
    for row in rows:
        us = row["us_per_stream_step"]
        values = (f"{us[name]:>8.2f} {us['lone'] / us[name]:>6.1f} ×" for name in names)
        yield f"{row['cell']:<14}{us['lone']:>9.1f}" + "".join(values)


def long_input(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        f"{'':<18}{'op ms':>8}{'run/op':>8}{'push/op':>9}{'chunks/op':>11}{'torch/push':>12}"
        f"{'frames/s':>12}"
    )
    for row in rows:
        s = row["seconds"]
        yield (
            f"{row['cell']:<18}{s['op'] * 1e3:>8.0f}{s['run'] / s['op']:>8.2f}"
            f"{s['push'] / s['op']:>9.2f}{s['chunks'] / s['op']:>11.2f}"
            f"{s['torch'] / s['push']:>12.2f}{row['frames'] / s['push']:>12,.0f}"
        )


def device_memory(rows: Sequence[Row]) -> Iterator[str]:
    yield f"Python alone: {rows[0]['python_bytes'] / _MIB:.0f} MiB"
    heads = f"{'file':>10}{'runtime':>10}{'torch':>10}{'one model more':>17}{'one stream more':>18}"
    yield f"{'':<18}{heads}"
    for row in rows:
        sizes = (f"{row[f'{n}_bytes'] / _MIB:>6.1f} MiB" for n in ("file", "runtime", "torch"))
        more = f"{row['one_model_more_bytes'] / _MIB:>13.1f} MiB"
        stream = f"{row['one_stream_more_bytes'] / _KIB:>14.1f} KiB"
        yield f"{row['cell']:<18}{''.join(sizes)}{more}{stream}"


def paced(rows: Sequence[Row]) -> Iterator[str]:
    yield f"{'every 10 ms':<12}{'pushes':>8}{'p50 µs':>9}{'p99 µs':>9}{'worst µs':>10}{'missed':>8}"
    for row in rows:
        yield (
            f"{row['example']:<12}{row['calls']:>8,}{row['p50_us']:>9.0f}{row['p99_us']:>9.0f}"
            f"{row['response_worst_us']:>10.0f}{row['deadline_misses']:>8}"
        )


def endurance(rows: Sequence[Row]) -> Iterator[str]:
    yield f"{'back to back':<12}{'pushes':>9}{'p50 µs':>9}{'drift':>9}{'memory grew':>15}"
    for row in rows:
        yield (
            f"{row['example']:<12}{row['pushes']:>9,}{row['median_us'][-1]:>9.1f}"
            f"{row['drift']:>9.2f}{row['grown_bytes'] / _KIB:>11.0f} KiB"
        )


TABLES: Mapping[str, Callable[[Sequence[Row]], Iterator[str]]] = {
    "step": step,
    "step_of_16_frames": step,
    "many_streams": many_streams,
    "long_input": long_input,
    "device_memory": device_memory,
    "paced": paced,
    "endurance": endurance,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    results = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))
    for name, part in results["parts"].items():
        print(f"{name}, {part['date']}")
        print("\n".join(TABLES[name](part["rows"])), end="\n\n")


if __name__ == "__main__":
    main()
