"""Measures one file: cold, back to back, paced, by size, in memory, and beside other runtimes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TypeVar

from rnnedge.benchmark.budgets import judge
from rnnedge.benchmark.diagnosis import diagnose
from rnnedge.benchmark.memory import measure_memory, resident_bytes
from rnnedge.benchmark.options import BenchOptions
from rnnedge.benchmark.pace import Paced, pace
from rnnedge.benchmark.peers.protocol import Peer
from rnnedge.benchmark.peers.run import choose_peers, ready_peers
from rnnedge.benchmark.peers.torch_module import Against, threads_restored
from rnnedge.benchmark.result import BenchReport, Called, Cold
from rnnedge.benchmark.roofline import READING, Reading
from rnnedge.benchmark.subject import Subject
from rnnedge.benchmark.sweeps import Point, batch_sizes, chunk_sizes, sweep
from rnnedge.benchmark.trials import Step, no_collection, take_turns
from rnnedge.report.cost import cost_per_frame
from rnnedge.report.graph import load_model, walk
from rnnedge.report.machine import machine_facts
from rnnedge_runtime import load

_T = TypeVar("_T")
_OURS = "rnnedge"
_TURNS, _PACED, _SWEEPS = 0.4, 0.3, 0.3
"""Shares of the time."""
_CPU_S = 0.15


def bench(
    path: str | PathLike[str],
    options: BenchOptions | None = None,
    *,
    peers: bool | Sequence[str] = False,
    against: Against | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> BenchReport:
    """Measures a streaming model file on this machine.

    Args:
        path: of the file.
        options: how; ``BenchOptions(hop_ms=10, max_rtf=0.5)``.
        peers: also run the other runtimes that are installed, all or those named, after checking
            that they compute the same.
        against: the module that the file was made from: PyTorch is among the peers then.
        on_progress: told of what takes long.

    Raises:
        BenchError: the options do not suit the file, or there is no such peer.
        RnnEdgeError: the file cannot be loaded, or runs whole sequences only.
    """
    asked = choose_peers(peers, against)
    with threads_restored():
        return _measure(Path(path), options or BenchOptions(), asked, on_progress)


def _measure(
    path: Path,
    options: BenchOptions,
    asked: Sequence[Peer],
    on_progress: Callable[[str], None],
) -> BenchReport:
    subject, cold, grown = _open(path, options)
    graph = load_model(subject.path)
    called = _called(subject, options, sum(1 for _ in walk(graph.graph)))
    memory = measure_memory(subject.model, subject.inputs()[0], options.batch, grown)
    cost = cost_per_frame(graph, subject.model.contract)
    weight_bytes = cost.weight_bytes * cost.frames * subject.runs
    reading = Reading(weight_bytes) if weight_bytes else None
    outcomes, others = ready_peers(subject, asked, on_progress) if asked else ([], {})
    step = subject.step()
    times = take_turns(
        {_OURS: step, **others, **({} if reading is None else reading.steps)},
        seconds=options.seconds * _TURNS * (1 + len(others) / 2),
        most_calls=options.calls,
    )
    timings, limit = times[_OURS], None if reading is None else reading.limit(times)
    paced = _paced(step, called, options)
    chunks, batches = _sweeps(subject, options, timings.p50_us) if options.sweep else ((), ())
    return BenchReport(
        called=called,
        cold=cold,
        timings=timings,
        cpu_us_per_call=_cpu_us(step),
        paced=paced,
        limit=limit,
        chunks=chunks,
        batches=batches,
        memory=memory,
        peers=tuple(replace(one, timings=times.get(one.name)) for one in outcomes),
        findings=diagnose(
            timings, limit=limit, chunks=chunks, paced=paced, control=times.get(READING)
        ),
        budgets=judge(
            timings,
            paced,
            signal_us=called.signal_us,
            max_p99_ms=options.max_p99_ms,
            max_rtf=options.max_rtf,
        ),
        machine=machine_facts(),
    )


def _open(path: Path, options: BenchOptions) -> tuple[Subject, Cold, int | None]:
    """Everything that happens once, timed; and by how much memory grew with the model."""
    before = resident_bytes()
    model, load_ns = _timed(
        lambda: load(
            path,
            provider=options.provider,
            threads=options.threads,
            provider_options=options.provider_options,
            provider_library=options.provider_library,
        )
    )
    after = resident_bytes()
    grown = None if before is None or after is None else max(after - before, 0)
    stream, stream_ns = _timed(lambda: model.stream(options.batch))
    frames = options.frames_of(model.contract)
    subject = Subject(path, model, frames, options.batch, options.threads, options.seed)
    first, second = subject.inputs()[:2]
    with no_collection():
        calls_ns = [_timed(partial(stream.push, inputs))[1] for inputs in (first, second)]
    cold = Cold(load_ns / 1e6, stream_ns / 1e3, calls_ns[0] / 1e3, calls_ns[1] / 1e3)
    return subject, cold, grown


def _timed(action: Callable[[], _T]) -> tuple[_T, int]:
    """The result and nanoseconds."""
    begin = time.perf_counter_ns()
    result = action()
    return result, time.perf_counter_ns() - begin


def _called(subject: Subject, options: BenchOptions, nodes: int) -> Called:
    model = subject.model
    return Called(
        file=subject.path.name,
        sha256=model.sha256,
        provider=model.provider,
        threads=subject.threads,
        frames=subject.frames,
        batch=subject.batch,
        hop_ms=options.hop_ms_of(model.contract),
        nodes=nodes,
        seed=subject.seed,
    )


def _paced(step: Step, called: Called, options: BenchOptions) -> Paced | None:
    if called.signal_us is None:
        return None
    return pace(
        step,
        period_ms=called.signal_us / 1e3,
        seconds=options.seconds * _PACED,
        most_calls=options.calls,
    )


def _sweeps(
    subject: Subject, options: BenchOptions, p50_us: float
) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """Other numbers of frames, then other batches; a call is taken to grow with both."""
    contract, frames, batch = subject.model.contract, subject.frames, subject.batch
    sizes = (
        [(size, batch) for size in chunk_sizes(contract, frames)],
        [(frames, size) for size in batch_sizes(contract)],
    )

    def usual_us(of_frames: int, of_batch: int) -> float:
        return p50_us * of_frames / frames * of_batch / batch

    chunks, batches = (
        sweep(
            points,
            subject.step,
            usual_us=usual_us,
            seconds=options.seconds * _SWEEPS / 2,
            most_calls=options.calls,
        )
        if len(points) > 1
        else ()
        for points in sizes
    )
    return chunks, batches


def _cpu_us(step: Step) -> float:
    """Processor time of a call, all threads, over calls back to back."""
    calls, begin = 0, time.process_time()
    end = time.perf_counter() + _CPU_S
    while time.perf_counter() < end or not calls:
        for _ in range(8):
            step()
        calls += 8
    return (time.process_time() - begin) / calls * 1e6
