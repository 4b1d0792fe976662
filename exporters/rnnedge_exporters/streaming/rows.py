"""Checks that the rows of a batch do not see each other.

A stream of several rows is several signals: a row is reset, joins and leaves alone. Forward may
mix rows all the same (normalise over the batch, take row 0), and every comparison of whole batches
would still agree. So this is decided from the graph, with the rules that `frames.py` has for time.

Rules:
    1. Each row of a result needs that row of the arguments only.
    2. A recurrence does not run over the batch; in the step of a scan, rule 1 holds as well.
"""

from __future__ import annotations

import operator
from dataclasses import replace

import sympy
from torch import Tensor
from torch.fx import Graph, Node

from rnnedge_exporters.capture.operators import RECURRENT
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.axes import OddAxisError, Place, find_place
from rnnedge_exporters.streaming.frames import check_frames
from rnnedge_exporters.streaming.recurrences import (
    SCAN,
    body_of,
    given_to_step,
    initial_states,
    sequences_of,
)
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse


def find_rows(graph: Graph, batch: sympy.Symbol | None) -> dict[Node, Place | None]:
    """Where the rows lie in every tensor.

    Args:
        graph: of a captured program.
        batch: the symbol of the number of rows; None when the inputs have no batch.

    Raises:
        StreamingError: an operator mixes rows, or is not known not to.
    """
    places: dict[Node, Place | None] = {}
    for node in graph.nodes:
        try:
            places[node] = None if batch is None else find_place(node, batch, places)
            if node.target is SCAN and batch is not None:
                _check_step(node, graph, batch, places)
            elif node.op == "call_function":
                _check(node, places)
        except (OddAxisError, StreamingError) as error:
            raise refuse(
                node,
                "it mixes the rows of the batch, which are signals of their own in a stream",
                f"compute each row from that row alone; or {SEQUENCE_MODE}",
            ) from error
    return places


def _check_step(
    node: Node, graph: Graph, batch: sympy.Symbol, places: dict[Node, Place | None]
) -> None:
    """Rule 2: the rows of what the step is given lie where they lie outside."""
    owner = graph.owning_module
    assert owner is not None  # noqa: S101 - as fx builds it
    body = body_of(node, owner).graph
    outside = given_to_step(node)
    states = len(initial_states(node))
    inside: dict[Node, Place | None] = {}
    for index, (given, source) in enumerate(
        zip(body.find_nodes(op="placeholder"), outside, strict=True)
    ):
        place = places[source]
        if place is not None and states <= index < states + len(sequences_of(node)):
            if place.axis == 0:
                raise OddAxisError("the sequence is the batch")
            place = replace(place, axis=place.axis - 1)
        inside[given] = place
    for step in body.nodes:
        if step.op not in ("placeholder", "output"):
            inside[step] = find_place(step, batch, inside)
        if step.op == "call_function":
            _check(step, inside)


def _check(node: Node, places: dict[Node, Place | None]) -> None:
    is_tensor = isinstance(node.meta.get("val"), (Tensor, tuple, list))
    if node.target is operator.getitem or not is_tensor:
        return
    known = {source: p for source in node.all_input_nodes if (p := places[source]) is not None}
    if node.target not in RECURRENT:
        check_frames(node, known, places[node])
    elif any(place.axis != 1 for place in known.values()):
        raise OddAxisError("the sequence is the batch")
