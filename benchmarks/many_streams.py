"""Many streams in shared runs, beside a stream of its own for each; one thread, frames one by one.

* lone: ``Stream.push`` of one stream, the price of a step without a batch.
* push: ``Batch.push`` of all 64 streams at once, per stream.
* tick: the same through the queue: 64 times ``BatchStream.push``, one tick, 64 results.
* await: the same through asyncio: 64 tasks that await ``AsyncStream.push``.
* products: the two matrix products of a step alone, for 64 rows, in onnxruntime: what no batch can
  beat by much.
* of 1,000: ``Batch.push`` of 1,000 slots, of which 10, 100 or all are active, per active stream.

By turns in one process; medians; "×" is how many times cheaper than lone.
Run it: ``python -m benchmarks.many_streams [--seconds 20]``
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from benchmarks.cells import GATES, build
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


def products(kind: str, features: int, hidden: int) -> Callable[[], object]:
    """``x W`` and ``h R`` for 64 rows, without gates, on buffers bound once."""
    rng, wide = np.random.default_rng(0), GATES[kind] * hidden
    arrays = {"x": (TOGETHER, features), "h": (TOGETHER, hidden)}
    inputs = {name: rng.standard_normal(shape, np.float32) for name, shape in arrays.items()}
    weights = {
        f"{name}w": rng.standard_normal((shape[1], wide), np.float32)
        for name, shape in arrays.items()
    }
    outputs = {f"{name}y": np.empty((TOGETHER, wide), np.float32) for name in arrays}

    def info(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)

    graph = helper.make_graph(
        [helper.make_node("MatMul", [name, f"{name}w"], [f"{name}y"]) for name in arrays],
        "products",
        [info(*item) for item in inputs.items()],
        [info(*item) for item in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    for name, array in outputs.items():
        binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def step() -> object:
        session.run_with_iobinding(binding)
        return inputs, outputs  # bound by address: they live as long as the step

    return step


def steps_of(
    model: Model, kind: str, features: int, hidden: int, loop: asyncio.AbstractEventLoop
) -> dict[str, tuple[Callable[[], object], int]]:
    """The steps, and how many streams each moves on."""
    lone, x = model.stream(), frames(features, TOGETHER)
    batch, queue, many = model.batch(TOGETHER), model.batch(TOGETHER), model.batch(SLOTS)
    streams = tuple(batch.join() for _ in range(TOGETHER))
    crowd = tuple(many.join() for _ in range(SLOTS))

    def of_crowd(active: int) -> Callable[[], object]:
        chosen, given = crowd[:: SLOTS // active], frames(features, active)
        return lambda: many.push(chosen, given)

    one = np.ascontiguousarray(x[:, :1])
    return {
        "lone": (lambda: lone.push(one), 1),
        "push": (lambda: batch.push(streams, x), TOGETHER),
        "tick": (queued([queue.join() for _ in range(TOGETHER)], x), TOGETHER),
        "await": (awaited(model, x, loop), TOGETHER),
        "products": (products(kind, features, hidden), TOGETHER),
    } | {f"{active} of 1,000": (of_crowd(active), active) for active in ACTIVE}


def measure(seconds: float) -> list[dict[str, object]]:
    """Microseconds for one step of one stream, by cell and way."""
    results: list[dict[str, object]] = []
    loop = asyncio.new_event_loop()
    for kind, features, hidden in CELLS:
        model = load(build(kind, features, hidden))
        steps = steps_of(model, kind, features, hidden, loop)
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
