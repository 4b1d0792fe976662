"""What a caller may ask of tuning, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rnnedge_runtime.errors import InputError


@dataclass(frozen=True)
class TuneOptions:
    """How a file is tuned.

    Attributes:
        chunk: input frames of a push, which decide which form is fastest; None for one run.
        batch: rows of a push.
        threads: numbers of threads to try; None for 1 and as many as this process may use.
        min_snr_db: quantised forms are tried whose outputs have at least this signal-to-noise ratio
            beside the file's own; None for exact forms only.
        seconds: about how long the measuring takes.
        seed: of the random inputs.
    """

    chunk: int | None = None
    batch: int = 1
    threads: tuple[int, ...] | None = None
    min_snr_db: float | None = None
    seconds: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("chunk", "batch"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value != int(value) or value < 1):
                raise _refused(name, value, "give a whole number from 1 on")
        for name in ("seconds", "min_snr_db"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise _refused(name, value, "give a number above 0")
        if self.threads is not None and not all(count >= 1 for count in self.threads):
            raise _refused("threads", self.threads, "give numbers of 1 or more")


def _refused(name: str, value: object, fix: str) -> InputError:
    return InputError(f"{name} is {value!r}", where=f"TuneOptions, {name!r}", fix=fix)
