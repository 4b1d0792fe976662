"""How a run went: frames, chunks, and how long each took."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from rnnedge.report.latency import Latency
from rnnedge.report.tables import new_list
from rnnedge.report.units import count_text

_TIMED_CHUNKS = 100_000
"""Percentiles are over so many last chunks: a stream may never end, memory does."""


class Stopwatch:
    """Collects how long each chunk took inside the model."""

    def __init__(self) -> None:
        self.chunks = 0
        self.frames = 0
        self.seconds = 0.0
        self._last: deque[float] = deque(maxlen=_TIMED_CHUNKS)

    def add(self, frames: int, seconds: float) -> None:
        """Counts one chunk."""
        self.chunks += 1
        self.frames += frames
        self.seconds += seconds
        self._last.append(seconds)

    def percentile_us(self, percent: float) -> float | None:
        """Microseconds per chunk; None before the first one."""
        return float(np.percentile(self._last, percent)) * 1e6 if self._last else None


@dataclass(frozen=True)
class RunSummary:
    """What `rnnedge run` reports.

    Attributes:
        frames: per stream of the batch.
        chunk_frames: frames per chunk; None if all came in one.
        model_s: seconds spent in the model, reading and writing not included.
        latency_us_p50: microseconds per chunk, the median.
        latency_us_p99: the 99th percentile.
        real_time_factor: seconds in the model per second of signal; None without a sample rate.
        latency: how late a live stream's output is, computing not included; None for a
            whole-sequence model.
    """

    output: Path | None
    state_out: Path | None
    provider: str
    batch: int
    frames: int
    chunks: int
    chunk_frames: int | None
    model_s: float
    latency_us_p50: float | None
    latency_us_p99: float | None
    real_time_factor: float | None
    latency: Latency | None = None

    def to_dict(self) -> Mapping[str, Any]:
        """Every field; paths as text."""
        return asdict(self) | {
            "output": None if self.output is None else str(self.output),
            "state_out": None if self.state_out is None else str(self.state_out),
        }

    def to_rich(self) -> Table:
        """One line per fact."""
        return new_list(self._facts())

    def to_line(self) -> str:
        """The output's path, unless it is stdout itself."""
        return "" if self.output in (None, Path("-")) else str(self.output)

    def _facts(self) -> Sequence[tuple[str, str]]:
        size = "all" if self.chunk_frames is None else str(self.chunk_frames)
        facts = [
            ("output", "dropped" if self.output is None else str(self.output)),
            ("frames", f"{count_text(self.frames)}, batch {self.batch}"),
            ("chunks", f"{count_text(self.chunks)} of {size} frames, on {self.provider}"),
        ]
        if self.latency_us_p50 is not None and self.latency_us_p99 is not None:
            facts.append(
                ("per chunk", f"p50 {self.latency_us_p50:.1f} µs, p99 {self.latency_us_p99:.1f} µs")
            )
        if self.real_time_factor is not None:
            facts.append(("real-time factor", f"{self.real_time_factor:.4f} (below 1: in time)"))
        if self.latency is not None and self.latency.total_frames:
            facts.append(("latency", f"{self.latency}; the output is aligned all the same"))
        if self.state_out is not None:
            facts.append(("state", str(self.state_out)))
        return facts
