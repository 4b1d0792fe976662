"""What the settings of an onnxruntime session are worth for one step, batch 1, one thread.

The same graph is opened once for every setting, each beside the settings that `rnnedge_runtime`
uses, and all are stepped by turns in one process through buffers bound once. Ratios of the medians:
above 1 is slower than what the runtime does.

``--spinning`` adds a session whose second thread spins while it waits. It comes last in every
round, so the first row shows what it does to whatever runs after it.

Run it: ``python -m benchmarks.session_options [--rounds 60] [--spinning]``
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort

from benchmarks.cells import bare, build, median_us
from rnnedge_runtime import load

CELLS = [("GRU", 8, 8), ("LSTM", 64, 128), ("LSTM", 256, 256)]
CHUNKS = (1, 16)


def ours() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def with_entry(key: str, value: str) -> ort.SessionOptions:
    options = ours()
    options.add_session_config_entry(key, value)
    return options


def with_flags(**flags: object) -> ort.SessionOptions:
    options = ours()
    for name, value in flags.items():
        setattr(options, name, value)
    return options


def with_sizes(frames: int, **flags: object) -> ort.SessionOptions:
    options = with_flags(**flags)
    options.add_free_dimension_override_by_name("batch", 1)
    options.add_free_dimension_override_by_name("time", frames)
    return options


SETTINGS: dict[str, Callable[[int], ort.SessionOptions]] = {
    "as the runtime opens it": lambda frames: ours(),
    "memory arena on": lambda frames: with_flags(enable_cpu_mem_arena=True),
    "memory pattern off": lambda frames: with_flags(enable_mem_pattern=False),
    "memory reuse off": lambda frames: with_flags(enable_mem_reuse=False),
    "sizes fixed": lambda frames: with_sizes(frames),
    "sizes fixed, arena on": lambda frames: with_sizes(frames, enable_cpu_mem_arena=True),
    "denormals as zero": lambda frames: with_entry("session.set_denormal_as_zero", "1"),
    "graph optimised less (basic)": lambda frames: with_flags(
        graph_optimization_level=ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    ),
    "2 threads": lambda frames: with_flags(intra_op_num_threads=2),
}
SPINNING = "2 threads that spin"


def spinning() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    return options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--spinning", action="store_true")
    arguments = parser.parse_args()
    settings = dict(SETTINGS)
    if arguments.spinning:
        settings[SPINNING] = lambda frames: spinning()
    columns: dict[str, dict[str, float]] = {}
    for kind, features, hidden in CELLS:
        data = build(kind, features, hidden)
        model = load(data)
        for frames in CHUNKS:
            x = np.random.default_rng(1).standard_normal((frames, 1, features), dtype=np.float32)
            steps = {
                name: bare(
                    SimpleNamespace(
                        session=ort.InferenceSession(data, options(frames)),
                        contract=model.contract,
                        initial_state=model.initial_state,
                    ),
                    {"x": x},
                )
                for name, options in settings.items()
            }
            columns[f"{kind} {features}→{hidden}, {frames}"] = median_us(steps, arguments.rounds)
    width = max(map(len, settings)) + 2
    print(" " * width + "".join(f"{name:>18}" for name in columns))
    for name in settings:
        ratios = [us[name] / us["as the runtime opens it"] for us in columns.values()]
        print(f"{name:<{width}}" + "".join(f"{ratio:>18.2f}" for ratio in ratios))
    base = [us["as the runtime opens it"] for us in columns.values()]
    print(f"{'µs of the first row':<{width}}" + "".join(f"{us:>18.1f}" for us in base))


if __name__ == "__main__":
    main()
