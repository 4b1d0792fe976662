"""The streaming program beside the module's, tensor by tensor, aligned by their clocks.

Emission j of a tensor in the stream is frame ``j - delay`` of the whole sequence's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rnnedge.parity.inner import Keeping, Played, StreamRunner, Values
from rnnedge.parity.measure import Array, Ledger
from rnnedge.parity.verdict import fails, note
from rnnedge_exporters.convert import Stages
from rnnedge_exporters.streaming.program import Twin
from rnnedge_runtime.contract import BATCH, TIME


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


def _whole(stages: Stages, played: Played, dtype: torch.dtype) -> Values:
    program = stages.program
    given = {node.name: played.inputs[name] for name, node in program.inputs.items()}
    sizes = {BATCH: played.batch, TIME: 1}
    given |= {state.start.name: state.spec.zeros(sizes).numpy() for state in program.states}
    return Keeping(program.graph_module, dtype).compute(given)


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
    shape = value.shape
    apart = value.reshape(*shape[: place.axis], outer, frames, inner, *shape[place.axis + 1 :])
    return apart.movedim(place.axis + 1, 0)


def _aligned(twin: Twin, got: Tensor, exact: Tensor, single: Tensor) -> Ledger:
    """Compares the frames that both have, and that someone reads."""
    clock, frames = twin.clock, len(exact)
    left, right = (clock.edges.left, clock.edges.right) if clock.edges else (0, 0)
    first = max(left, -clock.delay, 0)
    last = min(frames - max(right, twin.spare), len(got) - clock.delay)
    ledger = Ledger(twin.stream, ("time", *(0 for _ in exact.shape[1:])))
    if last > first:
        ours = got[first + clock.delay : last + clock.delay]
        note(ledger, ours.numpy(), exact[first:last].numpy(), single[first:last].numpy(), 1)
    return ledger
