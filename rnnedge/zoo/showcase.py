"""One layer of the zoo from its name to a proven stream: trained, exported, judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import onnx

from rnnedge.pipeline import export
from rnnedge.zoo.catalogue import HIDDEN, find, make
from rnnedge.zoo.practice import Progress, judge, judge_stream, train
from rnnedge.zoo.result import ZooResult
from rnnedge_runtime import load

INPUT = "tokens: int64[batch, time]"
_CARRIERS = ("RNN", "GRU", "LSTM", "LinearAttention", "Scan")


def show(
    name: str,
    output: Path,
    *,
    steps: int | None = None,
    hidden: int = HIDDEN,
    seed: int = 0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> ZooResult:
    """Trains a layer on its task, exports it, and judges module and stream.

    Args:
        name: see `catalogue.CATALOGUE`.
        output: the ONNX file to write; one that exists is replaced.
        steps: updates; None for as many as the catalogue says.
        hidden: units of the layer.
        seed: of weights and batches.
        on_progress: called after every update.

    Raises:
        InputError: there is no such layer.
        RnnEdgeError: the file cannot be written. A failed proof raises nothing.
    """
    entry, network = find(name), make(name, hidden, seed)
    steps = steps or entry.steps
    started = time.perf_counter()
    for progress in train(network, entry.task, steps, seed=seed):
        on_progress(progress)
    train_s = time.perf_counter() - started
    result = export(network, output, inputs=[INPUT], force=True)
    checks = () if result.parity is None else result.parity.checks
    kept = result.path is not None
    return ZooResult(
        name=name,
        output=result.path,
        size_bytes=output.stat().st_size if kept else 0,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        task=entry.task.name,
        steps=steps,
        train_s=train_s,
        accuracy=judge(network, entry.task),
        stream_accuracy=judge_stream(load(output), entry.task) if kept else None,
        without_memory=entry.task.without_memory,
        operator=_carrier(output) if kept else "",
        checks=len(checks),
        failed=tuple(check.name for check in checks if not check.passed),
    )


def _carrier(path: Path) -> str:
    """The operator that goes over time."""
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    return next((kind for kind in _CARRIERS if kind in kinds), "none")
