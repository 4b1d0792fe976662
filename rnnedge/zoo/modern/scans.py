"""Linear recurrences h_t = a_t h_{t-1} + b_t: in parallel over time, and step by step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rnnedge_exporters.scan import scan


def parallel_scan(
    a: Tensor,
    b: Tensor,
    h: Tensor,
    times: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Tensor:
    """h_t for all t, in log2(time) rounds instead of as many steps as there are frames.

    The composition of two steps is a step: (a', b') after (a, b) is (a' a, a' b + b'), which is
    associative, so that prefixes double in every round (Hillis and Steele, "Data Parallel
    Algorithms", CACM 29(12), 1986; Blelloch, CMU-CS-90-190, 1990).

    Args:
        a: [batch, time, ...], or what broadcasts against it.
        b: [batch, time, ...].
        h: before the first frame, [batch, ...].
        times: the product of two elements.

    Returns:
        [batch, time, ...].
    """
    a = a.expand_as(b)
    b = torch.cat([b[:, :1] + times(a[:, :1], h.unsqueeze(1)), b[:, 1:]], 1)
    reach = 1
    while reach < b.shape[1]:
        later, earlier = slice(reach, None), slice(None, -reach)
        # a is still the older one here: b is made before a is.
        b = torch.cat([b[:, :reach], b[:, later] + times(a[:, later], b[:, earlier])], 1)
        a = torch.cat([a[:, :reach], times(a[:, later], a[:, earlier])], 1)
        reach *= 2
    return b


def stepped(a: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """As `parallel_scan`, frame by frame, and the last h: what a stream runs."""

    def step(frame: tuple[Tensor, Tensor], h: Tensor) -> tuple[Tensor, Tensor]:
        a_t, b_t = frame
        h = a_t * h + b_t
        return h, h

    return scan(step, (a, b), h)


def linear_recurrence(
    a: Tensor, b: Tensor, h: Tensor, *, in_parallel: bool
) -> tuple[Tensor, Tensor]:
    """h_t for all t, one way or the other, and the last.

    Args:
        a: [batch, time, ...].
        b: [batch, time, ...].
        h: before the first frame, [batch, ...].
        in_parallel: over time; it takes log2(time) times the memory.
    """
    if not in_parallel:
        return stepped(a, b, h)
    hidden = parallel_scan(a, b, h)
    return hidden, hidden[:, -1]
