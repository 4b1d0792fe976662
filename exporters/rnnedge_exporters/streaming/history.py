"""What tensors hold before any input is: padding, and what is computed from padding alone.

The whole-sequence program itself is run, once, on an input of one row. By its clock a tensor with a
negative delay has frames that no input reaches; they are read off that run. A second run with
another input has to give the same, or the clock is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.streaming.clock import Clock
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_runtime.contract import BATCH, TIME


class History:
    """Reads frames off runs of the whole-sequence program, for a batch of one."""

    def __init__(self, program: Program, clocks: Mapping[Node, Clock]) -> None:
        self._program = program
        self._clocks = clocks
        self._runs: list[dict[Node, Any]] = []
        self._frames = 0

    def before_start(
        self, origin: Node, node: Node, count: int, fill: float, delay: int | None = None
    ) -> Tensor:
        """The last `count` frames of `node` before its first emission.

        Args:
            origin: the operator that keeps them.
            node: has frames, on an axis of their own.
            count: of frames.
            fill: stands for frames before the tensor's first.
            delay: of the emissions; the clock's when it is None.

        Returns:
            Of the shape of `node` for a batch of one, with `count` frames.

        Raises:
            StreamingError: they depend on an input.
        """
        clock = self._clocks[node]
        assert clock.place is not None  # noqa: S101 - the caller saw to it
        early = max(-(clock.delay if delay is None else delay), 0)
        known = min(early, count)
        ours, theirs = (
            run[node].narrow(clock.place.axis, early - known, known)
            for run in self._run_twice(clock, early)
        )
        if not torch.equal(ours, theirs):
            raise refuse(
                origin,
                "what it holds before the first frame depends on an input",
                f"add that input after the padding, not before; or {SEQUENCE_MODE}",
            )
        shape = list(ours.shape)
        shape[clock.place.axis] = count - known
        return torch.cat([ours.new_full(shape, fill), ours], clock.place.axis).contiguous()

    def _run_twice(self, clock: Clock, early: int) -> list[dict[Node, Any]]:
        """Two runs in which a tensor of that clock has so many frames at least."""
        frames = self._frames or self._enough_frames()
        while clock.length(frames) < early:
            frames *= 2
        if frames != self._frames:
            self._frames = frames
            self._runs = [self._run(frames, seed) for seed in (0, 1)]
        return self._runs

    def _enough_frames(self) -> int:
        """So many that every frame before the start is among those of the run."""
        early = [clock for clock in self._clocks.values() if clock.delay < 0]
        frames = 2 * self._program.call.example[TIME]
        while any(clock.length(frames) < -clock.delay for clock in early):
            frames *= 2
        return frames

    def _run(self, frames: int, seed: int) -> dict[Node, Any]:
        generator = torch.Generator().manual_seed(seed)
        arguments = []
        names = {node: name for name, node in self._program.inputs.items()}
        states = {state.start: state.spec for state in self._program.states}
        sizes = {BATCH: 1, TIME: frames}
        for node in self._program.graph_module.graph.find_nodes(op="placeholder"):
            spec = states[node] if node in states else self._program.call.inputs[names[node]]
            value = spec.zeros(sizes)
            if node not in states and value.is_floating_point():
                value = torch.randn(value.shape, generator=generator).to(value.dtype)
            arguments.append(value)
        kept = _Keeping(self._program.graph_module)
        with torch.no_grad():
            kept.run(*arguments)
        return kept.values


class _Keeping(Interpreter):
    """Keeps every value."""

    def __init__(self, graph_module: GraphModule) -> None:
        super().__init__(graph_module, garbage_collect_values=False)
        self.values: dict[Node, Any] = {}

    def run_node(self, n: Node) -> Any:
        self.values[n] = super().run_node(n)
        return self.values[n]
