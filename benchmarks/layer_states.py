"""What one state per layer saves over one state for all layers, frame by frame, batch 1.

The same module, which takes and returns its hidden state as one tensor, is exported twice: as it is
done, and with the pass that divides the state left out. Both are streamed by turns in one process;
medians over rounds. Run it: ``python benchmarks/layer_states.py``
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from rnnedge_exporters import convert
from rnnedge_runtime import load

CELLS = [(nn.GRU, 64, 128, 2), (nn.LSTM, 64, 128, 2), (nn.LSTM, 128, 256, 3)]
ROUNDS, STEPS = 40, 200


class Net(nn.Module):
    """Takes and returns its hidden state as one tensor."""

    def __init__(self, kind: type[nn.RNNBase], features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.rnn = kind(features, hidden, layers, batch_first=True)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return self.rnn(x, hidden)


def step_of(data: bytes, x: np.ndarray) -> Callable[[], object]:
    stream = load(data).stream()
    return lambda: stream.push(x)


def main() -> None:
    torch.manual_seed(0)
    print(f"{'cell':<22}{'divided us':>12}{'whole us':>12}{'divided/whole':>15}")
    for kind, features, hidden, layers in CELLS:
        spec = {"x": f"float32[batch, time, {features}]"}
        module = Net(kind, features, hidden, layers)
        divided = convert(module, spec).to_bytes()
        with mock.patch("rnnedge_exporters.streaming.stream.divide_layers", lambda _, s: s):
            whole = convert(module, spec).to_bytes()
        x = np.random.default_rng(0).standard_normal((1, 1, features)).astype(np.float32)
        steps = [step_of(divided, x), step_of(whole, x)]
        times: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for taken, step in zip(times, steps, strict=True):
                start = time.perf_counter()
                for _ in range(STEPS):
                    step()
                taken.append((time.perf_counter() - start) / STEPS * 1e6)
        ours, theirs = map(statistics.median, times)
        name = f"{kind.__name__} {features}->{hidden}, {layers}"
        print(f"{name:<22}{ours:>12.1f}{theirs:>12.1f}{ours / theirs:>15.2f}")


if __name__ == "__main__":
    main()
