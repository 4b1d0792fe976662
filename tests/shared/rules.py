"""What the tests of the streaming passes share: small networks, and what is asked of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from blocks import Block
from chunked import Streamed, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rnnedge_exporters.errors import StreamingError

BCT = "float32[batch, 4, time]"
BTC = "float32[batch, time, 4]"
TOLERANCE = 1e-10
"""In float64, of values around one."""
ROUNDED = 1e-6
"""Where something was computed at export, which the file holds in float32."""


def net(compute: Callable[[Block, Tensor], Tensor], **parts: nn.Module) -> Block:
    """A module that computes what is said, with these parts."""
    torch.manual_seed(0)
    for part in parts.values():
        for parameter in part.parameters():
            parameter.data.normal_(std=0.5)  # no bias is zero, and no default symmetric
    return Block("", compute, **parts)


def streamed(compute: Callable[[Block, Tensor], Tensor], spec: str = BCT, **parts) -> Streamed:
    """The stream of such a module."""
    return stream(net(compute, **parts), spec)


def assert_streams(
    streamed: Streamed, shortest: int = 1, longest: int = 30, tolerance: float | None = None
) -> Streamed:
    """Whole sequence and stream are the same, for any chunks, number of rows and length."""
    shape = [2 if isinstance(dim, str) else dim for dim in streamed.contract.inputs[0].shape]

    @settings(max_examples=8, deadline=None, database=None, derandomize=True)
    @given(
        frames=st.integers(shortest, longest),
        rows=st.integers(1, 3),
        seed=st.integers(0, 99),
        cuts=st.lists(st.integers(0, longest), max_size=5),
        steps=st.booleans(),
    )
    def compare(frames: int, rows: int, seed: int, cuts: list[int], *, steps: bool) -> None:
        torch.manual_seed(seed)
        shape[streamed.time_axis] = frames
        if streamed.contract.inputs[0].batch_axis is not None:
            shape[streamed.contract.inputs[0].batch_axis] = rows
        x = torch.randn(shape, dtype=torch.float64)
        ends = [0, *sorted(min(cut, frames) for cut in cuts), frames]
        lengths = [b - a for a, b in pairwise(ends)]
        assert_same(streamed, x, [1] * frames if steps else lengths, tolerance)

    compare()
    return streamed


def assert_same(
    streamed: Streamed, x: Tensor, lengths: list[int], tolerance: float | None = None
) -> None:
    """Whole sequence and stream are the same, for these chunks."""
    is_exact = all(state.tensor is None for state in streamed.contract.states)
    atol = tolerance or (TOLERANCE if is_exact else ROUNDED)
    whole, parts = streamed.whole(x), streamed.chunks(x, lengths)
    for got, expected in zip(parts, whole, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def some_quick(cases: Mapping[str, Any], *quick: str) -> list[Any]:
    """Cases by their names; the others are slow."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            id=name,
            marks=[] if name in quick else [pytest.mark.slow],
        )
        for name, case in cases.items()
    ]


def initial(streamed: Streamed, name: str) -> Tensor:
    """What a state holds before the first frame, for a batch of one."""
    return next(state.initial for state in streamed.program.states if state.name == name)


def assert_refused(
    what: str,
    compute: Callable[[Block, Tensor], Tensor],
    spec: str = BCT,
    *,
    fix: str = "--mode sequence",
    where: str = "operator",
    **parts: nn.Module,
) -> None:
    """It is refused: what is wrong, where, and the way out."""
    with pytest.raises(StreamingError) as error:
        streamed(compute, spec, **parts)
    assert what in error.value.what
    assert where in error.value.where
    assert fix in error.value.fix
