"""All that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rnnedge.benchmark.budgets import Budget
from rnnedge.benchmark.diagnosis import Finding
from rnnedge.benchmark.memory import Memory
from rnnedge.benchmark.pace import Paced
from rnnedge.benchmark.peers.outcome import Outcome
from rnnedge.benchmark.roofline import Limit
from rnnedge.benchmark.sweeps import Point
from rnnedge.benchmark.timings import Timings


@dataclass(frozen=True)
class Cold:
    """What comes before the first warm call, once.

    Attributes:
        load_ms: opening the file; libraries are imported already, and the file may be in the
            system's cache.
        stream_us: making a stream.
        first_call_us: the first push; buffers are bound in it.
        second_call_us: the one after.
    """

    load_ms: float
    stream_us: float
    first_call_us: float
    second_call_us: float


@dataclass(frozen=True)
class Called:
    """What was called, and how.

    Attributes:
        file: its name, without its folder.
        sha256: of its bytes.
        provider: onnxruntime's name of it.
        threads: of one run.
        frames: input frames of a call.
        batch: rows of a call.
        hop_ms: from one input frame to the next; None where nobody knows.
        nodes: operators that onnxruntime was given.
        seed: of the random inputs.
    """

    file: str
    sha256: str
    provider: str
    threads: int
    frames: int
    batch: int
    hop_ms: float | None
    nodes: int
    seed: int

    @property
    def signal_us(self) -> float | None:
        """How much signal one call takes."""
        return None if self.hop_ms is None else self.hop_ms * self.frames * 1e3


@dataclass(frozen=True)
class BenchReport:
    """All that was measured.

    Attributes:
        called: what was called, and how.
        cold: before the first warm call.
        timings: of calls back to back.
        cpu_us_per_call: processor time of one of them, all threads.
        paced: calls at the signal's cadence; None where that is not known.
        limit: reading the weights once; None for a model without any.
        chunks: other numbers of frames per call.
        batches: other numbers of rows per call.
        memory: of the model and of a stream.
        peers: other runtimes, if they were asked for.
        findings: what it means, in words.
        budgets: what was allowed.
        machine: processor, system and versions.
    """

    called: Called
    cold: Cold
    timings: Timings
    cpu_us_per_call: float
    paced: Paced | None
    limit: Limit | None
    chunks: tuple[Point, ...]
    batches: tuple[Point, ...]
    memory: Memory
    peers: tuple[Outcome, ...]
    findings: tuple[Finding, ...]
    budgets: tuple[Budget, ...]
    machine: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every budget was kept."""
        return all(budget.passed for budget in self.budgets)

    @property
    def rtf(self) -> float | None:
        """Median processing time divided by signal time; below 1 is faster than real time."""
        return self.rtf_of(self.timings)

    def rtf_of(self, timings: Timings) -> float | None:
        """The same of other calls of the same size."""
        signal_us = self.called.signal_us
        return None if signal_us is None else timings.p50_us / signal_us

    def per_frame_us(self, timings: Timings) -> float:
        """Median time per frame of one row."""
        return timings.p50_us / (self.called.frames * self.called.batch)

    def times_limit(self, timings: Timings) -> float | None:
        """How many times reading the weights once a call takes."""
        return None if self.limit is None else timings.p50_us / self.limit.limit_us

    @property
    def cpu_ms_per_signal_s(self) -> float | None:
        """Processor time per second of signal of one row, back to back."""
        signal_us = self.called.signal_us
        if signal_us is None:
            return None
        return self.cpu_us_per_call / (signal_us * self.called.batch) * 1e3

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; quantities carry their unit in the key."""
        paced = None
        if self.paced is not None:
            paced = self.paced.to_dict() | self._of_call(self.paced.timings)
        return {
            "called": asdict(self.called),
            "cold": asdict(self.cold),
            "back_to_back": self.timings.to_dict()
            | self._of_call(self.timings)
            | {
                "cpu_us_per_call": self.cpu_us_per_call,
                "cpu_ms_per_signal_s": self.cpu_ms_per_signal_s,
            },
            "paced": paced,
            "limit": None if self.limit is None else self.limit.to_dict(),
            "chunk_sweep": [point.to_dict() for point in self.chunks],
            "batch_sweep": [point.to_dict() for point in self.batches],
            "memory": self.memory.to_dict(),
            "peers": [
                peer.to_dict() | ({} if peer.timings is None else self._of_call(peer.timings))
                for peer in self.peers
            ],
            "diagnosis": [finding.to_dict() for finding in self.findings],
            "budgets": [budget.to_dict() for budget in self.budgets],
            "passed": self.passed,
            "machine": dict(self.machine),
        }

    def _of_call(self, timings: Timings) -> dict[str, float | None]:
        return {
            "us_per_frame": self.per_frame_us(timings),
            "real_time_factor": self.rtf_of(timings),
            "times_limit": self.times_limit(timings),
        }
