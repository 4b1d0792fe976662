"""What a caller may ask for, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike

from rnnedge.benchmark.errors import BenchError
from rnnedge_runtime.contract import Contract

_DEFAULT_CHUNK_MS = 10.0
DEFAULT_SECONDS = 6.0


@dataclass(frozen=True)
class BenchOptions:
    """How a file is measured.

    Attributes:
        chunk: input frames of a call; None for 10 ms of signal, or one run.
        batch: rows of a call.
        hop_ms: from one input frame to the next; None for what the contract says.
        provider: execution provider.
        provider_options: as for `load`.
        provider_library: as for `load`.
        threads: of one run.
        seconds: about how long the measuring takes, loading and warm-up not included.
        calls: timed at most, of each thing that is timed; None for as many as there is time for.
        sweep: whether other chunk lengths and batches are tried.
        max_p99_ms: budget of the 99th percentile; None for none.
        max_rtf: budget of the real-time factor; None for none.
        seed: of the random inputs.
    """

    chunk: int | None = None
    batch: int = 1
    hop_ms: float | None = None
    provider: str = "cpu"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    provider_library: str | PathLike[str] | None = None
    threads: int = 1
    seconds: float = DEFAULT_SECONDS
    calls: int | None = None
    sweep: bool = True
    max_p99_ms: float | None = None
    max_rtf: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("chunk", "batch", "calls"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value != int(value) or value < 1):
                raise _refused(name, value, "give a whole number from 1 on")
        for name in ("hop_ms", "seconds", "max_p99_ms", "max_rtf"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise _refused(name, value, "give a number above 0")

    def hop_ms_of(self, contract: Contract) -> float | None:
        """Milliseconds of signal per input frame, if anyone knows."""
        if self.hop_ms is not None or contract.signal is None:
            return self.hop_ms
        return contract.signal.hop_samples / contract.signal.sample_rate_hz * 1e3

    def frames_of(self, contract: Contract) -> int:
        """Input frames of a call.

        Raises:
            BenchError: they are not whole runs; or a budget of the real-time factor was given and
                nothing tells how much signal a frame is.
        """
        hop_ms, multiple = self.hop_ms_of(contract), contract.chunk_multiple
        if self.max_rtf is not None and hop_ms is None:
            raise BenchError(
                "a real-time factor needs to know how much signal a frame is, and the file does "
                "not say",
                where="--max-rtf",
                fix="give --hop-ms, the milliseconds from one input frame to the next; or export "
                "with --sample-rate and --hop",
            )
        if self.chunk is None:
            runs = 1 if hop_ms is None else round(_DEFAULT_CHUNK_MS / hop_ms / multiple)
            return multiple * max(runs, 1)
        if self.chunk % multiple:
            raise BenchError(
                f"a call of {self.chunk} frames is no number of whole runs: a run takes a "
                f"multiple of {multiple} frames, and the rest would wait for the next call",
                where="--chunk",
                fix=f"give a multiple of {multiple}",
            )
        return self.chunk


def _refused(name: str, value: object, fix: str) -> BenchError:
    return BenchError(f"{value!r} is refused", where="--" + name.replace("_", "-"), fix=fix)
