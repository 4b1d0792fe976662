"""Networks composed at random: the stream is the whole sequence, or is refused for a known reason.

``RNNEDGE_NETWORKS=1000 pytest tests/end_to_end/test_random_networks.py`` is the long run.
"""

from __future__ import annotations

import copy
import os
import random

import numpy as np
import pytest
import torch

from rnnedge.parity.measure import Ledger, Reference
from rnnedge.parity.playback import play
from rnnedge_exporters import StreamingError, convert
from rnnedge_runtime import load

from .networks import CHANNELS, Network, Spectral

COUNT = int(os.environ.get("RNNEDGE_NETWORKS", "50"))
REASONS = (
    "padded with its own frames",
    "padding with the signal's own frames",
    "padded with the signal's own frames",
    "pads what is padded",
)
"""For which a network of these blocks may be refused: all are about mirrored edges."""


def network_of(seed: int) -> tuple[torch.nn.Module, str]:
    if seed % 8 == 7:
        return Spectral(seed), "float32[batch, time]"
    return Network(seed), f"float32[batch, {CHANNELS}, time]"


@pytest.mark.parametrize(
    "seed",
    [pytest.param(n, marks=[pytest.mark.slow] if n >= 3 else []) for n in range(COUNT)],
)
def test_a_stream_is_the_whole_sequence_or_is_refused_for_a_known_reason(seed):
    module, spec = network_of(seed)
    module.eval()
    try:
        data = convert(module, {"x": spec}).to_bytes()
    except StreamingError as error:
        if not any(reason in error.what for reason in REASONS):
            raise
        return
    model = load(data)
    (port,) = model.contract.outputs
    ledger = Ledger(port.name, port.shape)
    exact = copy.deepcopy(module).double()
    r, rng = random.Random(seed), np.random.default_rng(seed)
    multiple = model.contract.chunk_multiple
    for batch in (1, 3):
        frames = 40 + 9 * multiple + r.randrange(2 * multiple)
        shape = (batch, frames) if spec.count(",") == 1 else (batch, CHANNELS, frames)
        x = rng.standard_normal(shape).astype(np.float32)
        with torch.no_grad():
            truth = Reference(
                exact(torch.from_numpy(x).double()).numpy(), module(torch.from_numpy(x)).numpy()
            )
        for lengths in ([frames], [1] * frames, chunks(frames, r)):
            played = play(model.stream(batch), {"x": x}, lengths)
            ledger.add(played.outputs()[port.name], truth, "stream", batch)
    error, own, allowed = ledger.error("stream")
    assert ledger.failure("stream") is None, f"{module!r}: {ledger.failure('stream')}"
    assert error <= allowed, f"{module!r}: {error:.2g}, PyTorch's own {own:.2g}"


def chunks(frames: int, r: random.Random) -> list[int]:
    """Lengths that add up to `frames`, some of them zero."""
    cuts = sorted(r.randint(0, frames) for _ in range(6))
    return [b - a for a, b in zip([0, *cuts], [*cuts, frames], strict=True)]
