"""Runs a streaming program in PyTorch, in float64, beside the module that it came from."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnedge_exporters.capture import bind, capture
from rnnedge_exporters.promise import promise, symbols_of
from rnnedge_exporters.specs import parse_inputs
from rnnedge_exporters.streaming import to_stream
from rnnedge_runtime.contract import TIME


class Lambda(nn.Module):
    """A function of modules and an input, as a module."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.function(self, x)


class Streamed:
    """A module and its stream, both in float64.

    Attributes:
        contract: what the file would promise.
        states: kinds and shapes by name.
    """

    def __init__(self, module: nn.Module, spec: str) -> None:
        module.eval()
        inputs = parse_inputs({"x": spec})
        program = capture(module, bind(module, inputs))
        self._stream = to_stream(program)
        self.contract = promise(
            self._stream, inputs, symbols_of(program), mode="stream", source={}, signal=None
        )
        self.states = {state.name: list(state.shape) for state in self.contract.states}
        self.output = self.contract.outputs[0]
        self._module = copy.deepcopy(module).double()
        self._graph = self._stream.graph_module.double()
        self._axis = inputs["x"].axis(TIME)
        self._spec = inputs["x"]

    def signal(self, batch: int, frames: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        sizes = {"batch": batch, "time": frames}
        shape = [dim if isinstance(dim, int) else sizes[dim] for dim in self._spec.shape]
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def whole(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._module(x)

    def run(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Pushes chunks, ends the signal, and cuts the delay off, as the contract says it."""
        multiple, frames = self.contract.chunk_multiple, x.shape[self._axis]
        states, emitted, first, held = self._start(x.shape[0]), [], 0, 0
        for length in lengths:
            held += length
            count = held // multiple * multiple
            if count:
                y, states = self._step(x.narrow(self._axis, first, count), states)
                emitted.append(y)
                first, held = first + count, held - count
        for index, state in enumerate(self.contract.states):
            if state.kind == "length":
                states[index] = torch.full_like(states[index], frames)
        wanted = self.output.length_of(frames) + self.output.delay
        rest = x.narrow(self._axis, first, held)
        while sum(y.shape[self.output.time_axis] for y in emitted) < wanted:
            # What follows the signal is noise: nothing of it may be heard.
            shape = list(x.shape)
            shape[self._axis] = multiple - rest.shape[self._axis]
            noise = 10 * torch.randn(shape, dtype=x.dtype)
            y, states = self._step(torch.cat([rest, noise], self._axis), states)
            emitted.append(y)
            rest = x.narrow(self._axis, 0, 0)
        joined = torch.cat(emitted, self.output.time_axis)
        return joined.narrow(self.output.time_axis, self.output.delay, wanted - self.output.delay)

    def check(self, *, frames: int = 29, tolerance: float = 1e-9) -> None:
        """Any chunks, several batches, every remainder of the chunk multiple."""
        for extra in range(min(self.contract.chunk_multiple, 3)):
            for batch in (1, 3):
                x = self.signal(batch, frames + extra)
                whole = self.whole(x)
                count = frames + extra
                for lengths in ([count], [1] * count, [2, 0, 5, count - 7]):
                    torch.testing.assert_close(
                        self.run(x, lengths), whole, rtol=0, atol=tolerance, check_dtype=False
                    )

    def _start(self, batch: int) -> list[Tensor]:
        found = []
        for state, promised in zip(self._stream.states, self.contract.states, strict=True):
            value, axis = state.initial, promised.batch_axis
            if axis is not None:
                outer = promised.batch_outer
                inner = value.shape[axis] // outer
                rows = value.unflatten(axis, (outer, 1, inner))
                sizes = [*value.shape[:axis], outer, batch, inner, *value.shape[axis + 1 :]]
                value = rows.expand(sizes).flatten(axis, axis + 2)
            found.append(value.double() if value.is_floating_point() else value.clone())
        return found

    def _step(self, chunk: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        with torch.no_grad():
            y, *after = self._graph(chunk.contiguous(), *states)
        expected = chunk.shape[self._axis] * self.output.ratio
        assert y.shape[self.output.time_axis] == expected
        return y, after
