"""How many frames at the end of each tensor nobody reads.

Padding on both sides and cutting off on the right after the convolution (the *chomp* of temporal
convolutional networks) pads frames that are never read. What is never read is not written.

Rules:
    1. An output is read to its end.
    2. What is made frame by frame reads its arguments as far as it is read itself.
    3. Frames that a slice cuts off, or that a stride leaves over, are not read.
    4. Padding on the right that is not read leaves the argument's last frames unread once it is
       used up. Frames that are mirrored there count as padding: they are read where they lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch.fx import Graph, Node

from rnnedge_exporters.streaming.clock import Clock, Flow
from rnnedge_exporters.streaming.joins import Join
from rnnedge_exporters.streaming.length import least_difference
from rnnedge_exporters.streaming.padding import Pad
from rnnedge_exporters.streaming.plan import Plan
from rnnedge_exporters.streaming.shifts import Cut, Strided
from rnnedge_exporters.streaming.upsampling import Repeated, Transposed
from rnnedge_exporters.streaming.windows import Window


def find_spare(
    graph: Graph,
    clocks: Mapping[Node, Clock],
    plans: Mapping[Node, Plan],
    outputs: Iterable[Node],
) -> dict[Node, int]:
    """The number of frames at the end of each node that are not read.

    Args:
        graph: the whole-sequence program.
        clocks: of its nodes.
        plans: of its nodes.
        outputs: its results.
    """
    read_by: dict[Node, list[int]] = {node: [0] for node in outputs}
    spare: dict[Node, int] = {}
    for node in reversed(graph.nodes):
        spare[node] = min(read_by.get(node, [0]))
        if node.op != "call_function":
            continue
        for source in node.all_input_nodes:
            left = _left_over(node, source, spare[node], clocks, plans.get(node))
            read_by.setdefault(source, []).append(left)
    return spare


def _left_over(
    node: Node, source: Node, spare: int, clocks: Mapping[Node, Clock], plan: Plan | None
) -> int:
    """How many frames at the end of `source` this node leaves unread."""
    ours, theirs = clocks.get(node), clocks.get(source)
    if ours is None or theirs is None or theirs.flow is not Flow.FRAMES:
        return 0
    if isinstance(plan, Join) or plan is None:
        return spare if ours.rate == theirs.rate and ours.flow is Flow.FRAMES else 0
    if isinstance(plan, Cut):
        return spare + least_difference(theirs.length, ours.length, 1) - plan.first
    if isinstance(plan, (Window, Strided)):
        window = plan.window if isinstance(plan, Strided) else plan
        return max(0, window.left_over(ours.length, spare))
    if isinstance(plan, Pad):
        mirrored = ours.edges.right if ours.edges is not None else 0
        return max(0, spare - plan.right - mirrored)
    if isinstance(plan, Transposed):
        return max(0, spare + plan.cut - plan.tail) // plan.stride
    if isinstance(plan, Repeated):
        return spare // plan.factor
    return 0
