"""What a caller may ask for beside the verifier's own questions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rnnedge_runtime.contract import Contract
from rnnedge_runtime.errors import RnnEdgeError

ALLOWED_RATIO = 4.0
"""How many times PyTorch's own float32 error is allowed.

onnxruntime's error is 0.7 to 1.9 times PyTorch's own for layers of 6 to 512 units."""


class OptionError(RnnEdgeError, ValueError):
    """What was asked for makes no sense, or not for this file."""


@dataclass(frozen=True)
class Options:
    """Further questions, and the yardstick. They add to the verifier's own; none takes its place.

    Attributes:
        chunks: lengths of pushes to try, each a pattern that is repeated.
        batches: batch sizes to try.
        allowed_ratio: how many times PyTorch's own float32 error is allowed.
    """

    chunks: tuple[tuple[int, ...], ...] = ()
    batches: tuple[int, ...] = ()
    allowed_ratio: float = ALLOWED_RATIO

    @classmethod
    def of(
        cls,
        chunks: Sequence[int | Sequence[int]],
        batches: Sequence[int],
        allowed_ratio: float | None,
    ) -> Options:
        """Checks what a caller gave; None is the verifier's own ratio.

        Raises:
            OptionError: a length or batch size is not a whole number from 1 on, a pattern of
                lengths pushes nothing, or the ratio is not a positive number.
        """
        if isinstance(chunks, (str, bytes)) or not isinstance(chunks, Sequence):
            raise _refused("chunks", chunks, "give a list: [1, 160, (7, 0, 3)]")
        ratio = ALLOWED_RATIO if allowed_ratio is None else allowed_ratio
        if isinstance(ratio, bool) or not isinstance(ratio, (int, float)):
            raise _refused("allowed_ratio", ratio, "give a number, such as 8.0")
        if not (math.isfinite(ratio) and ratio > 0):
            raise _refused("allowed_ratio", ratio, "give a number above 0, such as 8.0")
        is_list = isinstance(batches, Sequence) and not isinstance(batches, (str, bytes))
        if not is_list or not all(_is_whole(size, 1) for size in batches):
            raise _refused("batches", batches, "give a list of whole numbers from 1 on")
        return cls(tuple(map(_pattern, chunks)), tuple(batches), float(ratio))

    def check_fit(self, contract: Contract) -> None:
        """Refuses what a file cannot be asked.

        Raises:
            OptionError: pushes of a file of whole sequences, or batches of one without a batch.
        """
        if self.chunks and contract.mode != "stream":
            raise OptionError(
                "the file runs whole sequences only, so there are no pushes to try",
                where="chunks",
                fix="leave them out, or export it as a stream",
            )
        if set(self.batches) - {1} and all(port.batch_axis is None for port in contract.inputs):
            raise OptionError(
                "no input of the file has a batch axis", where="batches", fix="leave them out"
            )


def chunk_check(pattern: Sequence[int]) -> str:
    """What the check is called: ``pushes of 160 frames``."""
    frames = "frame" if list(pattern) == [1] else "frames"
    return f"pushes of {', '.join(map(str, pattern))} {frames}"


def _pattern(chunk: int | Sequence[int]) -> tuple[int, ...]:
    if _is_whole(chunk, 1):
        return (chunk,)  # type: ignore[return-value]
    is_list = isinstance(chunk, Sequence) and not isinstance(chunk, (str, bytes))
    if not is_list or not all(_is_whole(length, 0) for length in chunk) or not sum(chunk):  # type: ignore[union-attr, arg-type]
        raise _refused(
            "chunks", chunk, "give whole numbers of frames from 1 on, or patterns such as (7, 0, 3)"
        )
    return tuple(chunk)  # type: ignore[arg-type]


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _refused(option: str, value: object, fix: str) -> OptionError:
    return OptionError(f"{value!r} cannot be asked for", where=option, fix=fix)
