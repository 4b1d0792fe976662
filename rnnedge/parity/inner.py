"""Inner values of the captured programs, computed by PyTorch, on a signal and its chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.utils import _pytree as pytree

from rnnedge.parity.measure import Array
from rnnedge.parity.precision import arithmetic, doubled, tensor_of
from rnnedge.parity.signals import Signals, cut
from rnnedge.parity.spans import FRAMES, Spans
from rnnedge_exporters.convert import Stages
from rnnedge_runtime import Contract
from rnnedge_runtime.alignment import Alignment
from rnnedge_runtime.contract import TIME, dim_factor

_MOST_FRAMES = 4_000
"""Every value is kept, so the signal is shorter than one that only outputs are kept of."""
_RUNS = 8

Values = Mapping[str, Any]
"""By the node's name: a tensor, or a tuple of them."""


class Keeping(Interpreter):
    """Runs a graph in one precision and keeps what every node gives."""

    def __init__(self, graph_module: GraphModule, dtype: torch.dtype) -> None:
        super().__init__(graph_module, garbage_collect_values=False)
        self._dtype = dtype
        self._kept: dict[str, Any] = {}

    def compute(self, arguments: Mapping[str, Array]) -> Values:
        """The values for arguments given by their nodes' names."""
        self._kept = {}
        nodes = self.graph.find_nodes(op="placeholder")
        ordered = [arguments[node.name] for node in nodes]
        tensors = [tensor_of(np.asarray(value), self._dtype) for value in ordered]
        with torch.no_grad(), arithmetic(self._dtype):
            self.run(*tensors)
        return self._kept

    def run_node(self, n: Node) -> Any:
        """See `Interpreter`."""
        self._kept[n.name] = super().run_node(n)
        return self._kept[n.name]

    def fetch_attr(self, target: str) -> Any:
        """See `Interpreter`."""
        value = super().fetch_attr(target)
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(self._dtype) if is_float else value

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """See `Interpreter`."""
        if self._dtype is torch.float64:
            args, kwargs = pytree.tree_map(doubled, (args, kwargs))
        return super().call_function(target, args, kwargs)


@dataclass(frozen=True)
class Run:
    """One run of a stream.

    Attributes:
        inputs: by name.
        states: what is written into states before it, at the end of the signal.
    """

    inputs: Mapping[str, Array]
    states: Mapping[str, Array]


@dataclass(frozen=True)
class Played:
    """A whole signal and the runs that it is cut into.

    Attributes:
        inputs: of the signal, by name.
        batch: rows.
        runs: in order; the last one ends the signal.
    """

    inputs: Mapping[str, Array]
    batch: int
    runs: Sequence[Run]

    @classmethod
    def of(cls, contract: Contract, signals: Signals) -> Played:
        """A random signal, long enough that all that a stream holds is used and replaced."""
        batch = 2 if any(port.batch_axis is not None for port in contract.inputs) else 1
        if contract.mode == "sequence":
            inputs = signals.inputs(batch, FRAMES)
            return cls(inputs, batch, [Run(inputs, {})])
        spans = Spans.of(contract)
        multiple = spans.multiple
        groups = max(min(spans.frames, _MOST_FRAMES) // multiple, 3)
        frames = groups * multiple
        inputs = signals.inputs(batch, frames)
        counts = [1, *signals.chunks(groups - 1, around=max(groups // _RUNS, 1))]
        lengths = [count * multiple for count in counts if count]
        if contract.chunk_most is not None:
            lengths = [contract.chunk_most] * (frames // contract.chunk_most)
        runs = [Run(chunk, {}) for chunk in cut(inputs, contract, lengths)]
        alignment = Alignment(contract, batch)
        if left := alignment.frames_to_end(frames, 0):
            silence = {
                port.name: inputs[port.name]
                if port.time_axis is None
                else _zeros(inputs[port.name], port.time_axis, left, port.shape[port.time_axis])
                for port in contract.inputs
            }
            runs.append(Run(silence, alignment.end_lengths(frames)))
        return cls(inputs, batch, runs)


class StreamRunner:
    """Runs the streaming program run by run, its states given or carried."""

    def __init__(self, stages: Stages, dtype: torch.dtype) -> None:
        streaming = stages.streaming
        self._keeping = Keeping(streaming.graph_module, dtype)
        self._inputs = {name: node.name for name, node in streaming.inputs.items()}
        self._starts = {state.name: state.start.name for state in streaming.states}
        self._ends = {state.name: state.end.name for state in streaming.states}

    def run(self, run: Run, states: Mapping[str, Array]) -> tuple[Values, dict[str, Array]]:
        """All values, and the states after."""
        given = {self._inputs[name]: value for name, value in run.inputs.items()}
        given |= {self._starts[name]: v for name, v in {**states, **run.states}.items()}
        values = self._keeping.compute(given)
        return values, {name: values[end].numpy() for name, end in self._ends.items()}


def _zeros(like: Array, axis: int, frames: int, dim: int | str) -> Array:
    shape = list(like.shape)
    shape[axis] = frames * dim_factor(dim, TIME)
    return np.zeros(shape, like.dtype)
