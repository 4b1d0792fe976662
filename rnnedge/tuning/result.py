"""What tuning tried, and what it chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tried:
    """One form.

    Attributes:
        name: as it is told.
        left_out: why it was not timed; empty if it was.
        p50_us: the median of a push; None if it was not timed.
        worst: how far its outputs are from the file's own, in parts of the largest.
        snr_db: their lowest signal-to-noise ratio; None where nothing differs.
        size_bytes: of its file; None if it could not be made.
        settings: what `load` has to be given.
    """

    name: str
    left_out: str = ""
    p50_us: float | None = None
    worst: float | None = None
    snr_db: float | None = None
    size_bytes: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TuneReport:
    """What was measured.

    Attributes:
        tried: the file as it is first.
        chosen: the name of the fastest that is surely faster; else that of the file as it is.
        speedup: times faster than the file as it is, in a run of the two alone; 1 for itself.
        chunk: input frames of a push.
        batch: rows of a push.
        machine: whose times these are.
    """

    tried: tuple[Tried, ...]
    chosen: str
    speedup: float
    chunk: int
    batch: int
    machine: Mapping[str, Any]

    @property
    def choice(self) -> Tried:
        """What was chosen."""
        return next(one for one in self.tried if one.name == self.chosen)

    @property
    def is_changed(self) -> bool:
        """Whether anything was faster than the file as it is."""
        return self.chosen != self.tried[0].name

    def to_dict(self) -> dict[str, Any]:
        """Every field; it is what the tuned file keeps."""
        return asdict(self)
