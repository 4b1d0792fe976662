"""What `--one-frame` saves, and what others leave of the plain file; runs of one frame, batch 1.

For every example and some cells: the file as it is exported, the same with ``--one-frame``, and
what onnxslim and onnxsim make of the plain one. All run through onnxruntime at its highest
optimisation level, on buffers bound once, by turns in one process. Each is compared with the plain
file. Nodes are counted in the file, and as onnxruntime leaves them. A tool that is not installed is
left out.
Run it: ``python -m benchmarks.optimized [--seconds 60] [--only tcn --only keyword]``
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn

import rnnedge
from benchmarks.cells import Cell, bare
from benchmarks.example_models import EXAMPLES, Example
from rnnedge.benchmark.trials import take_turns
from rnnedge.parity.signals import Signals
from rnnedge.zoo.char_lm.model import CharLMConfig, new_model
from rnnedge.zoo.char_lm.vocabulary import Vocabulary
from rnnedge_runtime import Model

CELLS = [Cell("GRU", 8, 8), Cell("LSTM", 64, 128), Cell("GRU", 64, 128, 2), Cell("RNN", 64, 128, 2)]
_INDEX_BOUND = 50
_STEPS = 30
Export = Callable[[Path, bool], Path]
"""Writes a file to a folder, the plain one or that of one frame."""


def _slim(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxslim

    slimmed: onnx.ModelProto = onnxslim.slim(model)
    return slimmed


def _sim(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    simplified, _ = onnxsim.simplify(model)
    return simplified


TOOLS: Mapping[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "onnxslim": _slim,
    "onnxsim": _sim,
}


def others(plain: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """What each tool leaves of a file, and why it left nothing."""
    made, left_out = {}, {}
    for name, tool in TOOLS.items():
        model = onnx.load(plain)
        notes = {prop.key: prop.value for prop in model.metadata_props}
        try:
            result = tool(model)
        except Exception as error:  # the tools' own, of any class
            left_out[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            continue
        del result.metadata_props[:]
        onnx.helper.set_model_props(result, notes)
        made[name] = plain.with_suffix(f".{name}.onnx")
        onnx.save(result, made[name])
    return made, left_out


def nodes_left(path: Path, folder: Path) -> int:
    """How many nodes onnxruntime runs, after its own optimiser."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return len(onnx.load(folder / "optimized.onnx").graph.node)


def signal(model: Model, frames: int) -> dict[str, np.ndarray[Any, Any]]:
    """Random inputs of one row."""
    return Signals(model.contract, seed=0, index_bound=_INDEX_BOUND).inputs(1, frames)


def difference(plain: Model, other: Model) -> float:
    """The largest of any output of a signal, in units of the plain file's largest value."""
    given = signal(plain, _STEPS * plain.contract.chunk_multiple)
    expected, got = (model.run(given).outputs for model in (plain, other))
    return max(
        float(np.abs(value - got[name]).max() / max(np.abs(value).max(), 1e-30))
        for name, value in expected.items()
    )


def measure_file(name: str, export: Export, seconds: float) -> dict[str, Any]:
    """Microseconds, nodes and differences by kind of file."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        paths = {"plain": export(folder, False), "one frame": export(folder, True)}
        tools, left_out = others(paths["plain"])
        paths |= tools
        models = {kind: rnnedge.load(path) for kind, path in paths.items()}
        times = take_turns(
            {k: bare(m, signal(m, m.contract.chunk_multiple)) for k, m in models.items()},
            seconds=seconds,
        )
        return {
            "name": name,
            "us": {kind: times[kind].p50_us for kind in paths},
            "nodes": {kind: len(onnx.load(path).graph.node) for kind, path in paths.items()},
            "run": {kind: nodes_left(path, folder) for kind, path in paths.items()},
            "difference": {k: difference(models["plain"], m) for k, m in models.items()},
            "left_out": left_out,
        }


def _export_char_lm(folder: Path, one_frame: bool) -> Path:
    path = folder / f"char_lm_{one_frame}.onnx"
    vocabulary = Vocabulary.of("".join(map(chr, range(32, 130))), minimum_count=1)
    module = new_model(vocabulary, CharLMConfig(), seed=0)
    inputs = {"tokens": "int64[batch, time]"}
    rnnedge.export(module.eval(), path, inputs=inputs, verify=False, one_frame=one_frame)
    return path


class Grouped(nn.Module):
    """A dual-path block of grouped GRUs: across 33 frequencies, then along time for each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        across = (nn.GRU(8, 4, batch_first=True, bidirectional=True) for _ in range(2))
        self.across = nn.ModuleList(across)
        self.along = nn.ModuleList(nn.GRU(8, 8, batch_first=True) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, bins, features = x.shape
        rows = x.reshape(batch * time, bins, features)
        rows = self._of_parts(self.across, rows).reshape(x.shape).transpose(1, 2)
        rows = rows.reshape(batch * bins, time, features)
        return self._of_parts(self.along, rows).reshape(batch, bins, time, features)

    @staticmethod
    def _of_parts(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        parts = zip(layers, x.chunk(len(layers), -1), strict=True)
        return torch.cat([layer(part)[0] for layer, part in parts], -1)


def _export_grouped(folder: Path, one_frame: bool) -> Path:
    path = folder / f"grouped_{one_frame}.onnx"
    inputs = {"x": "float32[batch, time, 33, 16]"}
    rnnedge.export(Grouped().eval(), path, inputs=inputs, verify=False, one_frame=one_frame)
    return path


def files() -> dict[str, Export]:
    """What is measured, by name; the examples first."""

    def of_example(example: Example) -> Export:
        return lambda folder, one: example.export(folder, one_frame=one)

    def of_cell(cell: Cell) -> Export:
        return lambda folder, one: cell.export(folder, one_frame=one)

    found = {example.name: of_example(example) for example in EXAMPLES}
    more = {"char-lm": _export_char_lm, "grouped GRUs": _export_grouped}
    return found | more | {str(cell): of_cell(cell) for cell in CELLS}


def measure(seconds: float, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """`measure_file` for all, or for those named."""
    wanted = {name: export for name, export in files().items() if not only or name in only}
    return [measure_file(n, export, seconds / len(wanted)) for n, export in wanted.items()]


def mean_ratio(rows: Sequence[Mapping[str, Any]], kind: str) -> float:
    """The geometric mean of how many times faster than the plain file that kind is."""
    ratios = [row["us"]["plain"] / row["us"][kind] for row in rows if kind in row["us"]]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    rows = measure(options.seconds, options.only)
    kinds = ["plain", "one frame", *TOOLS]
    for title, key, form in (
        ("µs per run", "us", ".1f"),
        ("nodes in the file", "nodes", "d"),
        ("nodes as onnxruntime runs them", "run", "d"),
        ("difference from plain", "difference", ".1e"),
    ):
        print(f"{title:<32}" + "".join(f"{kind:>12}" for kind in kinds))
        for row in rows:
            cells = [format(row[key][k], form) if k in row[key] else "-" for k in kinds]
            times = f"{row['us']['plain'] / row['us']['one frame']:>8.2f}x" if key == "us" else ""
            print(f"{row['name']:<32}" + "".join(f"{cell:>12}" for cell in cells) + times)
        print()
    examples = [row for row in rows if row["name"] in {e.name for e in EXAMPLES}]
    for text, some in (("the examples", examples), ("all", rows)):
        means = [f"{kind} {mean_ratio(some, kind):.2f}" for kind in kinds[1:]]
        print(f"times as fast as plain, geometric mean of {text}: " + ", ".join(means))
    for tool, why in {n: w for row in rows for n, w in row["left_out"].items()}.items():
        print(f"{tool} left out: {why}")


if __name__ == "__main__":
    main()
