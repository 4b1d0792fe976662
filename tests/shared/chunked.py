"""Runs a streaming program of torch in chunks, in float64, as a runtime would.

It is written from the contract's page and shares no code with the runtime: frames that do not fill
a run are held, states are handed on, the end of the signal is said in the state ``length``, and of
what comes out the delay is cut off. What follows the end is noise, as it may not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture import bind, capture
from rnnedge_exporters.promise import promise, symbols_of
from rnnedge_exporters.specs import parse_inputs
from rnnedge_exporters.streaming import StreamProgram, to_stream
from rnnedge_runtime import Contract
from rnnedge_runtime.contract import State


@dataclass(frozen=True)
class Streamed:
    """A module and its stream, both in float64.

    Attributes:
        module: of the whole sequence.
        program: of the chunks.
        contract: what the file would promise.
        time_axis: of the input.
    """

    module: nn.Module
    program: StreamProgram
    contract: Contract
    time_axis: int

    @property
    def states(self) -> dict[str, list[int | str]]:
        """The shapes of the states by name."""
        return {state.name: list(state.shape) for state in self.contract.states}

    @property
    def delay(self) -> int:
        """Of the first output, in its frames."""
        return self.contract.outputs[0].delay

    def whole(self, x: Tensor) -> list[Tensor]:
        """What the module gives."""
        with torch.no_grad():
            return pytree.tree_leaves(self.module(x))

    def chunks(self, x: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """What the stream gives for chunks of these lengths, and a flush."""
        run = _Run(self, x.shape[0])
        held = x.narrow(self.time_axis, 0, 0)
        for part in x.split(list(lengths), self.time_axis):
            held = torch.cat([held, part], self.time_axis)
            ready = held.shape[self.time_axis] // self.program.multiple * self.program.multiple
            run.step(held.narrow(self.time_axis, 0, ready))
            held = held.narrow(self.time_axis, ready, held.shape[self.time_axis] - ready)
        return run.flush(held, x.shape[self.time_axis])


def stream(module: nn.Module, spec: str, **more: str) -> Streamed:
    """The stream of a module whose input is `x`; further inputs have no time."""
    specs = parse_inputs({"x": spec, **more})
    program = capture(module.eval(), bind(module, specs))
    streaming = to_stream(program)
    contract = promise(streaming, specs, symbols_of(program), mode="stream", source={}, signal=None)
    axis = specs["x"].axis("time")
    assert axis is not None
    _double(streaming.graph_module)
    return Streamed(module.double(), streaming, contract, axis)


def _double(graph_module: GraphModule) -> None:
    """In place; what makes tensors has its type written down."""
    graph_module.double()

    def doubled(argument: object) -> object:
        return torch.float64 if argument is torch.float32 else argument

    for node in graph_module.graph.nodes:
        node.args = pytree.tree_map(doubled, node.args)
        node.kwargs = pytree.tree_map(doubled, dict(node.kwargs))
    graph_module.recompile()


class _Run:
    def __init__(self, streamed: Streamed, batch: int) -> None:
        self.streamed = streamed
        pairs = zip(streamed.program.states, streamed.contract.states, strict=True)
        self.states = [_for_rows(state.initial, port, batch) for state, port in pairs]
        self.outputs: list[list[Tensor]] = [[] for _ in streamed.contract.outputs]

    def step(self, x: Tensor) -> None:
        """One run; none for a chunk of no frames."""
        if not x.shape[self.streamed.time_axis]:
            return
        with torch.no_grad():
            results = self.streamed.program.graph_module(x.contiguous(), *self.states)
        for state, result in zip(self.states, results[len(self.outputs) :], strict=True):
            assert (result.shape, result.dtype) == (state.shape, state.dtype)
        self.states = list(results[len(self.outputs) :])
        for parts, result in zip(self.outputs, results, strict=False):
            parts.append(result)

    def flush(self, held: Tensor, frames: int) -> list[Tensor]:
        """The rest of every output, the delay cut off."""
        axis, multiple = self.streamed.time_axis, self.streamed.program.multiple
        for index, state in enumerate(self.streamed.contract.states):
            if state.kind == "length":
                self.states[index] = torch.full_like(self.states[index], frames)
        if held.shape[axis]:
            self.step(torch.cat([held, _noise(held, axis, multiple - held.shape[axis])], axis))
        while not all(self._is_complete(index, frames) for index in range(len(self.outputs))):
            self.step(_noise(held, axis, multiple))
        results = []
        for port, parts in zip(self.streamed.contract.outputs, self.outputs, strict=True):
            if port.time_axis is None:
                results.append(parts[-1])
                continue
            joined = torch.cat(parts, port.time_axis)
            results.append(joined.narrow(port.time_axis, port.delay, port.length_of(frames)))
        return results

    def _is_complete(self, index: int, frames: int) -> bool:
        port = self.streamed.contract.outputs[index]
        if port.time_axis is None:
            return bool(self.outputs[index])
        emitted = sum(part.shape[port.time_axis] for part in self.outputs[index])
        return bool(emitted >= port.delay + port.length_of(frames)) and emitted > 0


def _noise(like: Tensor, axis: int, frames: int) -> Tensor:
    shape = [*like.shape[:axis], frames, *like.shape[axis + 1 :]]
    return 10 * torch.randn(shape, dtype=like.dtype)


def _for_rows(initial: Tensor, port: State, batch: int) -> Tensor:
    """The initial value, which is for a batch of one, for more."""
    value = initial.double() if initial.is_floating_point() else initial
    if port.batch_axis is None:
        return value
    axis, outer = port.batch_axis, port.batch_outer
    inner = value.shape[axis] // outer
    rows = value.unflatten(axis, (outer, 1, inner))
    sizes = [-1] * rows.ndim
    sizes[axis + 1] = batch
    return rows.expand(sizes).flatten(axis, axis + 2).contiguous()
