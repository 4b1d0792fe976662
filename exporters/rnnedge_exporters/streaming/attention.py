"""Pass: attention over time with a limited past.

Scores of frames against frames have time on two axes. Such a tensor cannot be had in a stream, but
what becomes of it can, when a mask lets each frame attend to so many frames before it (and after)
and no others.

Rules:
    1. ``matmul(q, k.transpose(-2, -1))`` gives scores; what scales, shifts or masks them gives
       scores; ``softmax(-1)`` gives weights; ``matmul(weights, v)`` gives frames again.
       ``scaled_dot_product_attention`` is all of that.
    2. A mask is made of positions and numbers only, and is the same on each diagonal: it depends on
       how far two frames lie apart.
    3. The farthest frames back and ahead that the mask lets through are the window. A mask that
       lets through all of the past, or none at all, is refused.
    4. Keys and values of the frames in the window come from states named ``keys`` and ``values``.
    5. Frames before the signal, and after it, get no weight, and count as zero.
    6. Frames ahead are a delay: the queries wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.capture.arguments import arguments_of, operator_name
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.attention_steps import Attention, Band, Scores, time_axis
from rnnedge_exporters.streaming.axes import shape_of
from rnnedge_exporters.streaming.clock import Clock, Flow
from rnnedge_exporters.streaming.constants import blank_inputs, evaluate
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.plan import Timed
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse

PAIRS = Clock(Flow.PAIRS)
_HIDDEN = -1e4
"""A score from which on softmax gives zero beside any other, in float32."""
_PRODUCTS = frozenset({"matmul", "bmm"})
_SAME = frozenset({"clone", "contiguous", "dropout", "to", "_to_copy", "detach", "alias"})
_OF_POSITIONS = frozenset(
    {"arange", "sub", "add", "rsub", "mul", "abs", "neg", "ge", "gt", "le", "lt", "eq", "ne"}
    | {"logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or", "bitwise_not"}
    | {"__and__", "__or__", "tril", "triu", "ones", "zeros", "full", "ones_like", "zeros_like"}
    | {"full_like", "where", "masked_fill", "unsqueeze", "squeeze", "view", "reshape", "slice"}
    | {"expand", "transpose", "t", "permute", "to", "_to_copy", "clone", "scalar_tensor", "div"}
    | {"new_ones", "new_zeros", "new_full", "clamp", "log", "float", "bool", "lift_fresh_copy"}
)


class Attentions:
    """Follows tensors with time on two axes through a program."""

    def __init__(self, program: Program, time: Any, clocks: Mapping[Node, Clock]) -> None:
        self._program = program
        self._time = time
        self._clocks = clocks
        self._scores: dict[Node, Scores] = {}
        self._masks: set[Node] = set()

    def concerns(self, node: Node) -> bool:
        """Whether `node` has time on two axes, or is made of what has."""
        value = node.meta.get("val")
        if not isinstance(value, Tensor):
            return False
        if any(source in self._scores for source in node.all_input_nodes):
            return True
        axes = [dim for dim in shape_of(node) if self._time in dim.free_symbols]
        return len(axes) == 2 or operator_name(node) == "scaled_dot_product_attention"

    def clock(self, node: Node) -> Timed:
        """Rules 1 to 3.

        Args:
            node: as `concerns` says.

        Raises:
            StreamingError: it is no attention with a limited past.
        """
        name = operator_name(node)
        if name == "scaled_dot_product_attention":
            return self._fused(node)
        sources = node.all_input_nodes
        scores = [self._scores[source] for source in sources if source in self._scores]
        if not scores:
            return self._without_scores(node, name)
        (first, *others) = scores
        if others:
            raise _unlimited(node)
        if name in _PRODUCTS and first.is_weights:
            return self._product(node, first)
        if name == "softmax" and not first.is_weights:
            if int(arguments_of(node)["dim"]) not in (-1, node.meta["val"].ndim - 1):
                raise _unlimited(node)
            self._scores[node] = replace(first, steps=(*first.steps, node), is_weights=True)
            return Timed(PAIRS)
        is_same = name in _SAME
        if (self._is_pointwise(node) and not first.is_weights) or is_same:
            self._check_operands(node)
            self._scores[node] = replace(first, steps=(*first.steps, node))
            return Timed(PAIRS)
        raise _unlimited(node)

    def _without_scores(self, node: Node, name: str) -> Timed:
        if name in _PRODUCTS or name == "baddbmm":
            query, key = [arg for arg in node.args if isinstance(arg, Node)][-2:]
            if time_axis(query, self._clocks) == -2 and time_axis(key, self._clocks) == -1:
                steps = (node,) if name == "baddbmm" else ()
                self._scores[node] = Scores(query, key, node, steps)
                return Timed(PAIRS)
        if self._is_of_positions(node):
            self._masks.add(node)
            return Timed(PAIRS)
        raise _unlimited(node)

    def _is_of_positions(self, node: Node) -> bool:
        """Rule 2, as far as the graph tells it."""
        if operator_name(node) not in _OF_POSITIONS:
            return False
        return all(
            source in self._masks
            or not isinstance(source.meta.get("val"), Tensor)
            or source.op == "get_attr"
            or self._is_of_positions(source)
            or (source.op == "placeholder" and "like" in operator_name(node))
            for source in node.all_input_nodes
        )

    def _is_pointwise(self, node: Node) -> bool:
        name = operator_name(node)
        tags = node.target.tags if isinstance(node.target, OpOverload) else ()
        return name in ("masked_fill", "where") or torch.Tag.pointwise in tags

    def _check_operands(self, node: Node) -> None:
        for source in node.all_input_nodes:
            known = source in self._scores or source in self._masks
            if not known and self._clocks[source].flow is not Flow.FIXED:
                raise _unlimited(node)

    def _product(self, node: Node, scores: Scores) -> Timed:
        value = next(a for a in node.args if isinstance(a, Node) and a not in self._scores)
        if node.args[1] is not value or time_axis(value, self._clocks) != -2:
            raise _unlimited(node)
        return self._timed(node, scores, value)

    def _fused(self, node: Node) -> Timed:
        given = arguments_of(node)
        mask = given["attn_mask"]
        if not isinstance(mask, Node) or given["is_causal"] or given.get("enable_gqa"):
            raise _unlimited(node)
        if mask not in self._masks:
            raise refuse(node, "its mask is computed from the signal", _WAY_OUT)
        query, key, value = given["query"], given["key"], given["value"]
        if any(time_axis(part, self._clocks) != -2 for part in (query, key, value)):
            raise _unlimited(node)
        return self._timed(node, Scores(query, key, node, (node,)), value)

    def _timed(self, node: Node, scores: Scores, value: Node) -> Timed:
        window = self._window(node, scores)
        clocks = {part: self._clocks[part] for part in (scores.query, scores.key, value)}
        if len({clock.rate for clock in clocks.values()}) > 1 or any(
            clock.edges is not None for clock in clocks.values()
        ):
            raise refuse(node, "its frames and those it attends to differ", SEQUENCE_MODE)
        queries = clocks[scores.query]
        others = max(clocks[scores.key].delay, clocks[value].delay)
        delay = max(queries.delay, others + window.ahead)
        clock = replace(queries, delay=delay, even=False)
        assert clock.place is not None  # noqa: S101 - it has frames
        place = replace(clock.place, axis=node.meta["val"].ndim - 2)
        plan = Attention(scores, value, window, delay, frozenset(self._masks))
        return Timed(replace(clock, place=place), plan)

    # -- the mask ---------------------------------------------------------------------------------

    def _window(self, node: Node, scores: Scores) -> Band:
        """Rule 3: what the masks let through, as a function of distance."""
        masks = [
            (step, mask)
            for step in scores.steps
            for mask in step.all_input_nodes
            if mask in self._masks
        ]
        reach = 16 + 4 * max((_largest_number(mask) for _, mask in masks), default=0)
        length = self._clocks[scores.query].length
        tables = {mask: self._diagonals(node, mask, reach, length) for _, mask in masks}
        seen = torch.ones(2 * reach + 1, dtype=torch.bool)
        for step, mask in masks:
            seen &= _lets_through(step, tables[mask])
        distances = torch.nonzero(seen).flatten() - reach  # of query minus key
        if not len(distances) or int(distances.max()) > reach // 2:
            raise _unlimited(node)
        if int(distances.min()) < -(reach // 2):
            raise refuse(node, "it attends to all frames that follow", _WAY_OUT)
        back, ahead = max(int(distances.max()), 0), max(-int(distances.min()), 0)
        kept = slice(reach - ahead, reach + back + 1)
        return Band(back, ahead, {mask: table[..., kept] for mask, table in tables.items()})

    def _diagonals(self, node: Node, mask: Node, reach: int, length: Length) -> Tensor:
        """The value of a mask by distance, from ``-reach`` to ``reach``; [..., distances]."""
        frames = inputs = 2 * reach + 1
        while length(inputs) < frames:
            inputs *= 2
        given = blank_inputs(self._program, inputs)
        whole = evaluate(self._program.graph_module, mask, given)[..., :frames, :frames]
        # Row i of the middle holds every distance once; then all rows have to agree with it.
        middle = whole[..., reach, :].flip(-1)
        rows = torch.arange(frames).unsqueeze(1) - torch.arange(frames) + reach
        inside = (rows >= 0) & (rows < frames)
        expected = middle[..., rows.clamp(0, frames - 1)]
        if not torch.equal(whole[..., inside], expected[..., inside]):
            raise refuse(
                node,
                "its mask does not depend on the distance of two frames alone",
                _WAY_OUT,
            )
        return middle


def _lets_through(step: Node, table: Tensor) -> Tensor:
    """Which distances a step of the chain leaves visible."""
    flat = table.reshape(-1, table.shape[-1])
    name = operator_name(step)
    if name == "masked_fill":
        fill = arguments_of(step)["value"]
        hides = isinstance(fill, (int, float)) and fill <= _HIDDEN
        return ~flat.all(0) if hides else torch.ones_like(flat[0], dtype=torch.bool)
    if name == "scaled_dot_product_attention" and table.dtype is torch.bool:
        return flat.any(0)
    if name in ("add", "baddbmm", "scaled_dot_product_attention"):
        return (flat > _HIDDEN).any(0)
    if name == "where":
        return flat.any(0)
    return torch.ones(table.shape[-1], dtype=torch.bool)


def _largest_number(node: Node, seen: set[Node] | None = None) -> int:
    """Of all numbers that a mask is made with, and of the sizes of its tables."""
    seen = set() if seen is None else seen
    if node in seen or node.op != "call_function":
        return 0
    seen.add(node)
    found = [0]
    for arg in (*node.args, *node.kwargs.values()):
        for item in arg if isinstance(arg, (list, tuple)) else [arg]:
            if isinstance(item, (int, float)) and abs(item) < 2**31:
                found.append(int(abs(item)))
            elif isinstance(item, Node):
                found.append(_largest_number(item, seen))
    return sum(found)


_WAY_OUT = (
    "mask the scores so that each frame attends to a fixed number of frames: "
    "(i - j >= 0) & (i - j < window), i and j from torch.arange; or " + SEQUENCE_MODE
)


def _unlimited(node: Node) -> StreamingError:
    return refuse(
        node,
        "it is attention over time without a limit, or another operation on pairs of frames",
        _WAY_OUT,
    )
