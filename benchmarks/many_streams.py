"""Many streams in shared runs, beside a stream of its own for each; one thread, frames one by one.

* lone: ``Stream.push`` of one stream, the price of a step without a batch.
* push: ``Batch.push`` of all 64 streams at once, per stream.
* tick: the same through the queue: 64 times ``BatchStream.push``, one tick, 64 results.
* await: the same through asyncio: 64 tasks that await ``AsyncStream.push``.
* of 1,000: ``Batch.push`` of 1,000 slots, of which 10, 100 or all are active, per active stream.

By turns in one process; medians; "×" is how many times cheaper than lone.
Run it: ``python -m benchmarks.many_streams [--seconds 20]``
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable

import numpy as np

from benchmarks.stream_overhead import build
from rnnedge.benchmark.trials import take_turns
from rnnedge_runtime import AsyncBatch, BatchStream, Model, load

CELLS = [("GRU", 64, 128), ("LSTM", 64, 128), ("GRU", 512, 512), ("LSTM", 512, 512)]
TOGETHER = 64
SLOTS = 1000
ACTIVE = (10, 100, 1000)


def frames(features: int, rows: int) -> np.ndarray:
    """Noise of one frame, ``[1, rows, features]``."""
    return np.random.default_rng(0).standard_normal((1, rows, features), dtype=np.float32)


def queued(streams: list[BatchStream], x: np.ndarray) -> Callable[[], object]:
    rows = [np.ascontiguousarray(x[:, row : row + 1]) for row in range(len(streams))]
    batch = streams[0].batch

    def step() -> object:
        futures = [stream.push(row) for stream, row in zip(streams, rows, strict=True)]
        batch.tick()
        return [future.result() for future in futures]

    return step


def awaited(model: Model, x: np.ndarray, loop: asyncio.AbstractEventLoop) -> Callable[[], object]:
    front = AsyncBatch(model.batch(TOGETHER), max_wait_ms=100)
    streams = [front.join() for _ in range(TOGETHER)]
    rows = [np.ascontiguousarray(x[:, row : row + 1]) for row in range(TOGETHER)]

    async def all_of_them() -> object:
        return await asyncio.gather(
            *(stream.push(row) for stream, row in zip(streams, rows, strict=True))
        )

    return lambda: loop.run_until_complete(all_of_them())


def steps_of(
    model: Model, features: int, loop: asyncio.AbstractEventLoop
) -> dict[str, tuple[Callable[[], object], int]]:
    """The steps, and how many streams each moves on."""
    lone, x = model.stream(), frames(features, TOGETHER)
    batch, queue, many = model.batch(TOGETHER), model.batch(TOGETHER), model.batch(SLOTS)
    streams = [batch.join() for _ in range(TOGETHER)]
    crowd = [many.join() for _ in range(SLOTS)]

    def of_crowd(active: int) -> Callable[[], object]:
        chosen, given = crowd[:: SLOTS // active], frames(features, active)
        return lambda: many.push(chosen, given)

    one = np.ascontiguousarray(x[:, :1])
    return {
        "lone": (lambda: lone.push(one), 1),
        "push": (lambda: batch.push(streams, x), TOGETHER),
        "tick": (queued([queue.join() for _ in range(TOGETHER)], x), TOGETHER),
        "await": (awaited(model, x, loop), TOGETHER),
    } | {f"{active} of 1,000": (of_crowd(active), active) for active in ACTIVE}


def measure(seconds: float) -> list[dict[str, object]]:
    """Microseconds for one step of one stream, by cell and way."""
    results: list[dict[str, object]] = []
    loop = asyncio.new_event_loop()
    for kind, features, hidden in CELLS:
        steps = steps_of(load(build(kind, features, hidden)), features, loop)
        times = take_turns(
            {name: step for name, (step, _) in steps.items()}, seconds=seconds / len(CELLS)
        )
        us = {name: times[name].p50_us / streams for name, (_, streams) in steps.items()}
        results.append({"cell": f"{kind} {features}→{hidden}", "us_per_stream_step": us})
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    results = measure(parser.parse_args().seconds)
    names = list(results[0]["us_per_stream_step"])
    print(f"{'cell':<14}{'lone µs':>9}" + "".join(f"{name:>18}" for name in names[1:]))
    for row in results:
        us = row["us_per_stream_step"]
        print(f"{row['cell']:<14}{us['lone']:>9.1f}", end="")
        print("".join(f"{us[name]:>9.2f} {us['lone'] / us[name]:>6.1f} ×" for name in names[1:]))


if __name__ == "__main__":
    main()
