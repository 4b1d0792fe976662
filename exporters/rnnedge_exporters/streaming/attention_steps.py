"""What attention with a limited past becomes in a stream; the rules are in `attention.py`."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.fx import Node

from rnnedge_exporters.capture.arguments import arguments_of, operator_name
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.refusal import refuse
from rnnedge_exporters.streaming.writer import Writer, aten

_UNSEEN = -1e30
"""A score that gets no weight. Finite, so that frames before the signal stay finite, too."""


@dataclass(frozen=True)
class Scores:
    """What has become of ``matmul(q, k^T)`` so far.

    Attributes:
        query: [..., time, features].
        key: [..., features, time].
        product: the two multiplied.
        steps: the operators after the product, in order.
        is_weights: softmax was applied.
    """

    query: Node
    key: Node
    product: Node
    steps: tuple[Node, ...] = ()
    is_weights: bool = False


@dataclass(frozen=True)
class Band:
    """The frames that a frame attends to.

    Attributes:
        back: frames before it.
        ahead: frames after it.
        tables: each mask by distance, from `ahead` frames after to `back` frames before.
    """

    back: int
    ahead: int
    tables: Mapping[Node, Tensor] = field(compare=False, hash=False)


@dataclass(frozen=True)
class Attention:
    """Attention to a window of time; a `Plan`."""

    scores: Scores
    value: Node
    band: Band
    delay: int
    masks: frozenset[Node]

    def __str__(self) -> str:
        return f"context of {self._past} keys and values"

    def write(self, node: Node, writer: Writer) -> Node:
        """See `Plan`."""
        query, key, value = self.scores.query, self.scores.key, self.value
        others = self.delay - self.band.ahead
        queries = writer.delayed(node, query, self.delay - writer.clocks[query].delay)
        keys = self._window(node, key, "keys", others, writer)
        values = self._window(node, value, "values", others, writer)
        if others > 0 or self.band.ahead:
            # A weight of zero does not hide what is not finite, as a mean of no frames.
            absent = self._absent(node, writer)
            absent = writer.spread(node, absent, value, value.meta["val"].ndim - 2)
            values = writer.call(node, aten.masked_fill.Scalar, values, absent, 0.0)
        is_fused = operator_name(node) == "scaled_dot_product_attention"
        if is_fused:
            keys = writer.call(node, aten.transpose.int, keys, -2, -1)
        scores = writer.call(node, aten.matmul.default, queries, keys)
        apart = self._distances(node, key, writer)
        if is_fused:
            scores = self._fused_steps(node, scores, apart, writer)
        else:
            scores = self._steps(node, scores, apart, writer)
        return writer.call(node, aten.matmul.default, scores, values)

    @property
    def _past(self) -> int:
        return self.band.back + self.band.ahead

    def _window(self, node: Node, source: Node, role: str, delay: int, writer: Writer) -> Node:
        """Rule 4."""
        chunk = writer.delayed(node, source, delay - writer.clocks[source].delay)
        return writer.extended(node, source, self._past, role=role, chunk=chunk, delay=delay)

    def _distances(self, node: Node, key: Node, writer: Writer) -> Node:
        """Column minus row, 0 to `_past` inside the band; [rows, columns]."""
        count = writer.frames(writer.clocks[key].rate)
        total = writer.call(node, operator.add, count, self._past) if self._past else count
        columns = writer.call(node, aten.arange.default, total)
        rows = writer.call(node, aten.arange.default, count)
        rows = writer.call(node, aten.unsqueeze.default, rows, 1)
        return writer.call(node, aten.sub.Tensor, columns, rows)

    def _steps(self, node: Node, scores: Node, apart: Node, writer: Writer) -> Node:
        previous = self.scores.product
        for step in self.scores.steps:
            if operator_name(step) == "softmax":
                scores = self._hide(node, scores, apart, writer)
            if operator_name(step) == "baddbmm":
                scores = self._biased(step, scores, apart, writer)
            else:
                replaced = {
                    source: self._table(node, source, apart, writer)
                    for source in step.all_input_nodes
                    if source in self.masks
                }
                scores = writer.copy(step, {**replaced, previous: scores})
                scores.meta.pop("val", None)
            previous = step
        return scores

    def _biased(self, step: Node, product: Node, apart: Node, writer: Writer) -> Node:
        """``baddbmm(mask, q, k^T)``."""
        given = arguments_of(step)
        if given["beta"] != 1 or given["alpha"] != 1:
            raise refuse(step, "baddbmm with beta or alpha", "use masked_fill for the mask")
        mask = given["self"]
        table = self._table(step, mask, apart, writer) if mask in self.masks else writer.value(mask)
        return writer.call(step, aten.add.Tensor, product, table)

    def _fused_steps(self, node: Node, scores: Node, apart: Node, writer: Writer) -> Node:
        given = arguments_of(node)
        features = given["query"].meta["val"].shape[-1]
        scale = given["scale"] if given["scale"] is not None else float(features) ** -0.5
        scores = writer.call(node, aten.mul.Tensor, scores, scale)
        mask = given["attn_mask"]
        table = self._table(node, mask, apart, writer)
        if mask.meta["val"].dtype is torch.bool:
            hidden = writer.call(node, aten.logical_not.default, table)
            scores = writer.call(node, aten.masked_fill.Scalar, scores, hidden, _UNSEEN)
        else:
            scores = writer.call(node, aten.add.Tensor, scores, table)
        scores = self._hide(node, scores, apart, writer)
        return writer.call(node, aten.softmax.int, scores, -1)

    def _table(self, node: Node, mask: Node, apart: Node, writer: Writer) -> Node:
        """A mask as a table over the distances in the window; [..., rows, columns]."""
        table = self.band.tables[mask].flip(-1)  # column minus row counts from the oldest frame
        held = writer.held(node, table.contiguous())
        flat = writer.call(node, aten.clamp.default, apart, 0, self._past)
        flat = writer.call(node, aten.flatten.using_ints, flat)
        picked = writer.call(node, aten.index_select.default, held, table.ndim - 1, flat)
        count = writer.frames(writer.clocks[self.scores.key].rate)
        return writer.call(node, aten.unflatten.int, picked, -1, [count, -1])

    def _hide(self, node: Node, scores: Node, apart: Node, writer: Writer) -> Node:
        """Rule 5, and what lies outside of the window."""
        late = writer.call(node, aten.lt.Scalar, apart, 0)
        early = writer.call(node, aten.gt.Scalar, apart, self._past)
        outside = writer.call(node, aten.logical_or.default, late, early)
        key, absent = self.scores.key, self._absent(node, writer)
        ndim = key.meta["val"].ndim
        absent = writer.spread(node, absent, key, ndim - 1 if _is_last(key, writer) else ndim - 2)
        if not _is_last(key, writer):
            absent = writer.call(node, aten.transpose.int, absent, -2, -1)
        hidden = writer.call(node, aten.logical_or.default, outside, absent)
        return writer.call(node, aten.masked_fill.Scalar, scores, hidden, _UNSEEN)

    def _absent(self, node: Node, writer: Writer) -> Node:
        """Which frames of the window lie outside of the signal; bool [rows, frames]."""
        key = self.scores.key
        index = writer.index(node, key, self._past, delay=self.delay - self.band.ahead)
        absent = writer.call(node, aten.lt.Scalar, index, 0)
        if self.band.ahead:
            end = writer.last_index(node, key, writer.clocks[key].length)
            after = writer.call(node, aten.ge.Tensor, index, end)
            absent = writer.call(node, aten.logical_or.default, absent, after)
        return absent


def _is_last(key: Node, writer: Writer) -> bool:
    """Whether the keys have their frames on the last axis."""
    place = writer.clocks[key].place
    return place is not None and place.axis == key.meta["val"].ndim - 1


def time_axis(node: Node, clocks: Mapping[Node, Clock]) -> int | None:
    """The axis of the frames, counted from the right; None where no axis is theirs alone."""
    place = clocks[node].place
    if place is None or place.is_folded:
        return None
    return int(place.axis - node.meta["val"].ndim)
