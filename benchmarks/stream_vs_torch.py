"""A stream, frame by frame, beside the same module stepped in PyTorch; batch 1, one thread.

Each module is exported and proven first. Then one frame at a time goes through `Stream.push` and
through the module with its state carried, by turns in one process; medians over rounds.
Run it: ``python benchmarks/stream_vs_torch.py [--rounds 30]``
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import rnnedge

CELLS = [
    (nn.LSTM, 16, 32, 1),
    (nn.LSTM, 64, 128, 2),
    (nn.LSTM, 256, 256, 1),
    (nn.GRU, 64, 128, 2),
    (nn.GRU, 512, 512, 2),
    (nn.RNN, 64, 128, 2),
]


class Net(nn.Module):
    """Takes and returns its state, so that PyTorch can be stepped too."""

    def __init__(self, kind: type[nn.RNNBase], features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.rnn = kind(features, hidden, layers, batch_first=True)

    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, object]:
        y, state = self.rnn(x, state)
        return y, state


def torch_step(module: nn.Module, x: np.ndarray) -> Callable[[], object]:
    frame, state = torch.from_numpy(x), None

    @torch.inference_mode()
    def step() -> object:
        nonlocal state
        y, state = module(frame, state)
        return y

    return step


def median_us(steps: list[Callable[[], object]], rounds: int) -> list[float]:
    taken: list[list[float]] = [[] for _ in steps]
    for turn in range(rounds + 2):
        for times, step in zip(taken, steps, strict=True):
            start = time.perf_counter()
            for _ in range(100):
                step()
            if turn >= 2:  # the first rounds warm up
                times.append((time.perf_counter() - start) / 100 * 1e6)
    return [statistics.median(times) for times in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'cell':<22}{'push us':>10}{'torch us':>10}{'torch/push':>12}")
    for kind, features, hidden, layers in CELLS:
        module = Net(kind, features, hidden, layers).eval()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.onnx"
            result = rnnedge.export(module, path, inputs={"x": f"float32[batch, time, {features}]"})
            if not result.kept:
                raise SystemExit(f"the proof failed:\n{result.parity}")
            stream = rnnedge.load(path).stream()
        x = np.random.default_rng(0).standard_normal((1, 1, features)).astype(np.float32)
        push, step = median_us([lambda s=stream, x=x: s.push(x), torch_step(module, x)], rounds)
        name = f"{kind.__name__} {features}->{hidden}, {layers}"
        print(f"{name:<22}{push:>10.1f}{step:>10.1f}{step / push:>12.1f}")


if __name__ == "__main__":
    main()
