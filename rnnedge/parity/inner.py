"""Inner values of the whole-sequence program and of the streaming program, computed by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.utils import _pytree as pytree

from rnnedge.parity.measure import Array, Ledger, Reference
from rnnedge.parity.precision import arithmetic, doubled, tensor_of
from rnnedge.parity.signals import Signals, cut
from rnnedge.parity.spans import FRAMES, Spans
from rnnedge_exporters.convert import Stages
from rnnedge_exporters.streaming.program import Twin
from rnnedge_runtime import Contract
from rnnedge_runtime.alignment import Alignment
from rnnedge_runtime.contract import TIME, dim_factor

CHECK = "inner"
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

    def compute(self, arguments: Mapping[str, Array | Tensor]) -> Values:
        """The values for arguments given by their nodes' names."""
        self._kept = {}
        nodes = self.graph.find_nodes(op="placeholder")
        ordered = [arguments[node.name] for node in nodes]
        tensors = [
            value.to(self._dtype)
            if isinstance(value, Tensor) and value.is_floating_point()
            else value
            if isinstance(value, Tensor)
            else tensor_of(value, self._dtype)
            for value in ordered
        ]
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


def compare_streaming(
    stages: Stages, played: Played, initial: Mapping[str, Array]
) -> tuple[list[tuple[Twin, Ledger]], int]:
    """The tensors of the streaming program that differ from the module's, in order.

    Returns:
        Those, and how many were compared.
    """
    whole = {dtype: _whole(stages, played, dtype) for dtype in (torch.float64, torch.float32)}
    runner, states = StreamRunner(stages, torch.float64), dict(initial)
    parts: dict[Twin, list[Tensor]] = {twin: [] for twin in stages.streaming.twins}
    for run in played.runs:
        values, states = runner.run(run, states)
        for twin, of_twin in parts.items():
            of_twin.append(_frames_first(values[twin.stream], twin, played.batch))
    wrong, compared = [], 0
    for twin, of_twin in parts.items():
        exact, single = (
            _frames_first(whole[dtype][twin.whole.name], twin, played.batch) for dtype in whole
        )
        got = torch.cat(of_twin)
        ledger = _aligned(twin, got, exact, single)
        compared += ledger.runs
        if fails(ledger):
            wrong.append((twin, ledger))
    return wrong, compared


def fails(ledger: Ledger) -> bool:
    """Whether the error is beyond what is allowed, or the shapes differ."""
    if ledger.failure(CHECK):
        return True
    error, _, allowed = ledger.error(CHECK)
    return error > allowed


def told(ledger: Ledger) -> str:
    """By how much it differs."""
    if failure := ledger.failure(CHECK):
        return failure
    error, own, allowed = ledger.error(CHECK)
    return f"error {error:.1e} (PyTorch's own {own:.1e}, allowed {allowed:.1e})"


def note(ledger: Ledger, got: Array, exact: Array, single: Array, batch: int) -> None:
    """Adds a comparison; infinities that agree, as in masks, are no difference."""
    if got.shape == exact.shape == single.shape:
        same = ~np.isfinite(exact) & (got == exact) & (single == exact)
        if same.any():
            got, exact, single = (np.where(same, 0, side) for side in (got, exact, single))
    ledger.add(got, Reference(exact, single), CHECK, batch)


def _whole(stages: Stages, played: Played, dtype: torch.dtype) -> Values:
    program = stages.program
    given: dict[str, Array | Tensor] = {
        node.name: played.inputs[name] for name, node in program.inputs.items()
    }
    given |= {state.start.name: _blank(state, played.batch) for state in program.states}
    return Keeping(program.graph_module, dtype).compute(given)


def _blank(state: Any, batch: int) -> Tensor:
    zeros: Tensor = state.spec.zeros({"batch": batch, TIME: 1})
    return zeros


def _frames_first(value: Tensor, twin: Twin, batch: int) -> Tensor:
    """[..., outer * frames * inner, ...] -> [frames, ..., outer, inner, ...]."""
    place = twin.clock.place
    if place is None:
        return value.unsqueeze(0)
    outer, inner = (
        int(part.subs(dict.fromkeys(part.free_symbols, batch)))
        for part in (place.outer, place.inner)
    )
    frames = value.shape[place.axis] // (outer * inner)
    return value.unflatten(place.axis, (outer, frames, inner)).movedim(place.axis + 1, 0)


def _aligned(twin: Twin, got: Tensor, exact: Tensor, single: Tensor) -> Ledger:
    """Compares the frames that both have, and that someone reads."""
    clock, frames = twin.clock, len(exact)
    left, right = (clock.edges.left, clock.edges.right) if clock.edges else (0, 0)
    first = max(left, -clock.delay, 0)
    last = min(frames - max(right, twin.spare), len(got) - clock.delay)
    ledger = Ledger(twin.stream, ("time", *(0 for _ in exact.shape[1:])))
    if last > first:
        ours = got[first + clock.delay : last + clock.delay]
        note(ledger, *(t.numpy() for t in (ours, exact[first:last], single[first:last])), 1)
    return ledger


def _zeros(like: Array, axis: int, frames: int, dim: int | str) -> Array:
    shape = list(like.shape)
    shape[axis] = frames * dim_factor(dim, TIME)
    return np.zeros(shape, like.dtype)
