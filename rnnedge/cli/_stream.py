"""The loop behind `rnnedge run`: read a chunk, push it, write what comes out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rnnedge.cli._ending import Ending
from rnnedge.cli._frames import (
    Arrays,
    Sink,
    Source,
    entries_per_frame,
    open_sink,
    open_source,
)
from rnnedge.cli._output import replacing
from rnnedge.report.latency import Latency
from rnnedge.report.run import RunSummary, Stopwatch
from rnnedge_runtime import load
from rnnedge_runtime.contract import Contract
from rnnedge_runtime.errors import InputError, RnnEdgeError, SnapshotError

if TYPE_CHECKING:
    from rnnedge_runtime import Model, Stream

Step: TypeAlias = Callable[[Arrays], Arrays]
_DEFAULT_CHUNK_S = 0.01


@dataclass(frozen=True)
class Options:
    """The options of `rnnedge run`, as they were given."""

    output: Path | None
    chunk_frames: int | None
    batch: int | None
    state_in: Path | None
    state_out: Path | None
    provider: str
    provider_options: dict[str, str]
    provider_library: Path | None
    threads: int


def stream_file(file: Path, input_path: Path, options: Options) -> RunSummary:
    """Runs all frames of `input_path` through the model in `file`.

    What is written is aligned with the input and complete: it begins with the signal, whatever the
    model's delay, and the stream is flushed at the end.

    Raises:
        RnnEdgeError: the model, the input, a state or the output's name is not as it must be.
    """
    model = load(
        file,
        provider=options.provider,
        threads=options.threads,
        provider_options=options.provider_options,
        provider_library=options.provider_library,
    )
    source = open_source(input_path, model.contract, options.batch)
    if model.contract.mode == "sequence":
        _refuse_stream_options(file, options)
        stream, ending, chunk_frames = None, None, None
        step = _whole_runner(model)
    else:
        stream = _start(model, source, options.state_in)
        chunk_frames = options.chunk_frames or _default_chunk(model.contract, source)
        ending = Ending(stream)
        step = ending.push
    watch, state = Stopwatch(), b""
    with open_sink(options.output, model.contract, source) as sink:
        for inputs in source.chunks(chunk_frames):
            sink.write(_timed(step, inputs, model.contract, watch))
        if stream is not None and ending is not None:
            state = stream.snapshot()  # before the flush, so that another run can go on from it
            _finish(ending, sink, watch)
    if stream is not None and options.state_out is not None:
        with replacing(options.state_out) as part:
            part.write_bytes(state)
    return _summary(model, source, options, chunk_frames, watch)


def _timed(step: Step, inputs: Arrays, contract: Contract, watch: Stopwatch) -> Arrays:
    started = time.perf_counter()
    try:
        outputs = step(inputs)
    except RnnEdgeError as error:
        error.where += f"; the chunk began at frame {watch.frames}"
        raise
    watch.add(_frames(inputs, contract), time.perf_counter() - started)
    return outputs


def _finish(ending: Ending, sink: Sink, watch: Stopwatch) -> None:
    if not watch.frames:
        return
    started = time.perf_counter()
    outputs = ending.flush()
    watch.seconds += time.perf_counter() - started
    if outputs is not None:
        sink.write(outputs)


def _frames(inputs: Arrays, contract: Contract) -> int:
    for port in contract.inputs:
        if port.time_axis is not None:
            return int(inputs[port.name].shape[port.time_axis]) // entries_per_frame(port)
    return 1  # of a whole-sequence model whose inputs have no time


def _start(model: Model, source: Source, state_in: Path | None) -> Stream:
    stream = model.stream(batch=source.batch)
    if state_in is not None:
        if not state_in.is_file():
            raise SnapshotError(
                "there is no such file", where=str(state_in), fix="save one with --state-out"
            )
        try:
            stream.restore(state_in.read_bytes())
        except SnapshotError as error:
            error.where = f"{state_in}, {error.where}"
            error.fix = "give a file that --state-out saved with this very model and batch size"
            raise
    return stream


def _whole_runner(model: Model) -> Step:
    def run(inputs: Arrays) -> Arrays:
        return model.run(inputs).outputs

    return run


def _refuse_stream_options(file: Path, options: Options) -> None:
    given = {
        "--chunk": options.chunk_frames,
        "--state-in": options.state_in,
        "--state-out": options.state_out,
    }
    for flag, value in given.items():
        if value is not None:
            raise InputError(
                "the model runs whole sequences only: it has no chunks and no state",
                where=f"{flag}, {file}",
                fix=f"leave {flag} away, or export the module with --mode stream",
            )


def _default_chunk(contract: Contract, source: Source) -> int:
    """Whole runs only, so that no chunk waits for the next."""
    frame_s, multiple = _frame_s(contract, source), contract.chunk_multiple
    return multiple * max(1, round(_DEFAULT_CHUNK_S / frame_s / multiple) if frame_s else 1)


def _frame_s(contract: Contract, source: Source) -> float | None:
    """Seconds of signal per input frame."""
    if contract.signal is not None:
        return contract.signal.hop_samples / contract.signal.sample_rate_hz
    entries = max(entries_per_frame(port) for port in contract.inputs)
    return entries / source.sample_rate_hz if source.sample_rate_hz else None


def _summary(
    model: Model, source: Source, options: Options, chunk_frames: int | None, watch: Stopwatch
) -> RunSummary:
    frame_s = _frame_s(model.contract, source)
    signal_s = watch.frames * frame_s if frame_s else 0.0
    return RunSummary(
        output=options.output,
        state_out=options.state_out,
        provider=model.provider,
        batch=source.batch,
        frames=watch.frames,
        chunks=watch.chunks,
        chunk_frames=chunk_frames,
        model_s=watch.seconds,
        latency_us_p50=watch.percentile_us(50),
        latency_us_p99=watch.percentile_us(99),
        real_time_factor=watch.seconds / signal_s if signal_s else None,
        latency=None if chunk_frames is None else Latency.of(model.contract),
    )
