"""What a comparison found, and what may be lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TENTHS = 10
GROWTH = 1.5
"""An error grows if its last third is so many times its first."""


@dataclass(frozen=True)
class OutputQuality:
    """One output of the candidate, beside the reference.

    Attributes:
        name: of the output.
        snr_db: power of the reference over power of the difference, in dB; infinite if there is no
            difference.
        max_abs: the largest difference.
        tenths: the difference in each tenth of the time, as its root mean square over that of the
            whole reference; of an output without time, one number.
    """

    name: str
    snr_db: float
    max_abs: float
    tenths: tuple[float, ...]

    @property
    def growth(self) -> float | None:
        """The error in the last third of the time over that in the first; None if that is zero."""
        third = len(self.tenths) // 3
        if not third:
            return None
        first, last = sum(self.tenths[:third]), sum(self.tenths[-third:])
        return last / first if first else None

    @property
    def grows(self) -> bool:
        """Whether the error grows over time."""
        return self.growth is not None and self.growth > GROWTH

    def to_dict(self) -> dict[str, Any]:
        """JSON's form; `snr_db` is null where there is no difference."""
        return {
            "name": self.name,
            "snr_db": round(self.snr_db, 2) if math.isfinite(self.snr_db) else None,
            "max_abs": self.max_abs,
            "relative_error_by_tenth": [float(f"{tenth:.3g}") for tenth in self.tenths],
            "growth": None if self.growth is None else round(self.growth, 3),
        }


@dataclass(frozen=True)
class Budget:
    """What may be lost.

    Attributes:
        max_drop: of the metric; None for any.
        min_snr_db: every output has at least; None for any.
    """

    max_drop: float | None = None
    min_snr_db: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether anything is asked."""
        return self.max_drop is not None or self.min_snr_db is not None

    def broken_by(self, quality: Quality) -> list[str]:
        """What is broken, in words; empty if it holds. A drop that is no number breaks it."""
        broken = []
        if self.max_drop is not None and not (
            quality.drop is not None and quality.drop <= self.max_drop
        ):
            drop = "none" if quality.drop is None else f"{quality.drop:.4g}"
            broken.append(f"drop {drop}, at most {self.max_drop:g} allowed")
        if self.min_snr_db is not None and not quality.snr_db >= self.min_snr_db:
            broken.append(f"{quality.snr_db:.1f} dB, at least {self.min_snr_db:g} dB asked for")
        return broken


@dataclass(frozen=True)
class Quality:
    """A candidate beside its reference, on the same data.

    Attributes:
        outputs: one by one.
        data: where the data came from: ``random, seed 0`` or the user's name for it.
        rows: streams side by side.
        frames: of each.
        chunk_frames: that were pushed at a time.
        metric: the user's, by name; None if there is none.
        numbers: that the metric gave beside the drop.
        drop: what was lost, by the metric; 0 is nothing.
    """

    outputs: tuple[OutputQuality, ...]
    data: str
    rows: int
    frames: int
    chunk_frames: int
    metric: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    drop: float | None = None

    @property
    def snr_db(self) -> float:
        """Of the worst output."""
        return min((output.snr_db for output in self.outputs), default=math.inf)

    def to_dict(self) -> dict[str, Any]:
        """JSON's form, as it is stored in the file."""
        return {
            "data": self.data,
            "rows": self.rows,
            "frames": self.frames,
            "chunk_frames": self.chunk_frames,
            "outputs": [output.to_dict() for output in self.outputs],
            "metric": self.metric,
            "numbers": dict(self.numbers),
            "drop": self.drop,
        }
