"""At which lengths a module is traced: long enough for its longest window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rnnedge_exporters.capture.call import EXAMPLE_SIZES, OTHER_SIZES, Call
from rnnedge_exporters.errors import CaptureError
from rnnedge_runtime.contract import TIME

_FACTORS = (1, 4, 16, 64, 256, 1024, 4096)
"""Times the usual length of 16: up to 65,536 samples."""
_OTHERS = ((11, 16), (3, 4), (3, 2), (2, 1))
"""What may be the other length, as a part of the example's; the first that forward takes."""


def with_lengths(call: Call, attempt: Callable[[Mapping[str, int], Call], Any]) -> Call:
    """`call` with the shortest lengths at which forward runs.

    Args:
        call: says what the inputs are.
        attempt: runs forward for some sizes; raises CaptureError when forward does.

    Returns:
        The call as it is when forward runs at none of them: the error is told by who runs it next.
    """
    for factor in _FACTORS:
        example = {**EXAMPLE_SIZES, TIME: EXAMPLE_SIZES[TIME] * factor}
        if _runs(attempt, example, call):
            return replace(call, example=example, other=_other(call, example, attempt))
    return call


def longer(call: Call) -> Iterator[Call]:
    """`call` itself, and then at longer lengths."""
    yield call
    for factor in (4, 16):
        yield replace(
            call,
            example={**call.example, TIME: call.example[TIME] * factor},
            other={**call.other, TIME: call.other[TIME] * factor},
        )


def _other(
    call: Call, example: Mapping[str, int], attempt: Callable[[Mapping[str, int], Call], Any]
) -> Mapping[str, int]:
    for mul, div in _OTHERS:
        sizes = {**OTHER_SIZES, TIME: example[TIME] * mul // div}
        if _runs(attempt, sizes, call):
            return sizes
    return {**OTHER_SIZES, TIME: example[TIME]}


def _runs(
    attempt: Callable[[Mapping[str, int], Call], Any], sizes: Mapping[str, int], call: Call
) -> bool:
    try:
        attempt(sizes, call)
    except CaptureError:
        return False
    return True
