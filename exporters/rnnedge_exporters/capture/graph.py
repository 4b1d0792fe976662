"""What a captured program is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.fx import GraphModule, Node

from rnnedge_exporters.capture.call import Call
from rnnedge_exporters.specs import TensorSpec


@dataclass(frozen=True)
class Tied:
    """A state that forward takes and returns, as nodes of the graph.

    Attributes:
        name: of the state.
        spec: its element type and axes.
        start: the placeholder that takes it.
        end: what forward returns for it.
        initial: what a stream starts from, for a batch of one.
    """

    name: str
    spec: TensorSpec
    start: Node
    end: Node
    initial: Tensor


@dataclass(frozen=True)
class Program:
    """A module as one flat graph.

    Attributes:
        graph_module: its placeholders are the leaves of the arguments; each node's
            ``meta["val"]`` tells its shape, with symbols for batch and time.
        inputs: the data placeholders by name.
        outputs: the data results by name.
        states: the states that forward takes and returns.
        call: how forward is called.
    """

    graph_module: GraphModule
    inputs: Mapping[str, Node]
    outputs: Mapping[str, Node]
    states: tuple[Tied, ...]
    call: Call
