"""Checks that the rows of a batch do not see each other.

A stream of several rows is several signals: a row is reset, joins and leaves alone. Forward may
mix rows all the same (normalise over the batch, take row 0), and every comparison of whole batches
would still agree. So this is decided from the graph, with the rules that `frames.py` has for time.

Rules:
    1. Each row of a result needs that row of the arguments only.
    2. A recurrence does not run over the batch.
"""

from __future__ import annotations

import operator

import sympy
from torch import Tensor
from torch.fx import Graph, Node

from rnnedge_exporters.capture.operators import RECURRENT
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.axes import OddAxisError, Place, find_place
from rnnedge_exporters.streaming.frames import check_frames
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
            if node.op == "call_function":
                _check(node, places)
        except (OddAxisError, StreamingError) as error:
            raise refuse(
                node,
                "it mixes the rows of the batch, which are signals of their own in a stream",
                f"compute each row from that row alone; or {SEQUENCE_MODE}",
            ) from error
    return places


def _check(node: Node, places: dict[Node, Place | None]) -> None:
    is_tensor = isinstance(node.meta.get("val"), (Tensor, tuple, list))
    if node.target is operator.getitem or not is_tensor:
        return
    known = {source: p for source in node.all_input_nodes if (p := places[source]) is not None}
    if node.target not in RECURRENT:
        check_frames(node, known, places[node])
    elif any(place.axis != 1 for place in known.values()):
        raise OddAxisError("the sequence is the batch")
