"""How many frames a trial takes: enough that everything the model holds is used and replaced."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from rnnedge_runtime import Contract, State

FRAMES = 37
"""Of one trial; not a multiple of anything a model is likely to have."""
LONG_RUN_FRAMES = 1000
LONG_RUN_CHUNK = 25
MOST_FRAMES = 50_000
MOST_LONG_RUN_FRAMES = 200_000
"""Some seconds of sound: the module has to run it in float64, too."""
BATCHES = (1, 2, 5, 8)
FEW_BATCHES = (1, 3)
MANY_FRAMES = 5_000
"""From here on, trials are made for fewer batches, and on the same signal."""


@dataclass(frozen=True)
class Spans:
    """Lengths in input frames.

    Attributes:
        multiple: every run takes a multiple of so many frames.
        delay: after so many frames no output and no state is within its delay.
        reach: an upper bound of what a context can hold. The contract does not say which of a
            context's axes is time, nor at which rate it is kept, so its largest size counts.
        frames: of one trial, a multiple of `multiple`.
        odd: of one trial, not a multiple; None where everything is.
        long_run: of the long run, a multiple of `multiple`.
    """

    multiple: int
    delay: int
    reach: int
    frames: int
    odd: int | None
    long_run: int

    @classmethod
    def of(cls, contract: Contract) -> Spans:
        """The lengths that suit a contract."""
        multiple = contract.chunk_multiple
        lags = [ceil(p.delay / p.ratio) for p in contract.outputs if p.time_axis is not None]
        delay = max([*lags, *(state.delay for state in contract.states)], default=0)
        reach = multiple * max(map(_held, contract.states), default=0)
        frames = _whole(FRAMES * multiple + delay + reach, multiple, MOST_FRAMES)
        long_run = max(LONG_RUN_FRAMES * multiple, 4 * (delay + reach), frames)
        return cls(
            multiple=multiple,
            delay=delay,
            reach=reach,
            frames=frames,
            odd=frames + (multiple + 1) // 2 if multiple > 1 else None,
            long_run=_whole(long_run, multiple, MOST_LONG_RUN_FRAMES),
        )

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes for a model that has a batch."""
        return FEW_BATCHES if self.frames > MANY_FRAMES else BATCHES

    def whole(self, frames: int) -> int:
        """The smallest multiple that is not below `frames`."""
        return ceil(frames / self.multiple) * self.multiple


def _held(state: State) -> int:
    """How many frames of its own a state may hold."""
    sizes = [dim for dim in state.shape if isinstance(dim, int)]
    return max(sizes, default=0) if state.kind in ("context", "buffer") else 0


def _whole(frames: int, multiple: int, most: int) -> int:
    """A multiple, at least three runs."""
    return max(min(ceil(frames / multiple), most // multiple), 3) * multiple
