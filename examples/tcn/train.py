"""Trains the gesture network, and compares it with statistics of a window.

Run it: ``python -m examples.tcn.train --output tcn.safetensors``
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from examples.tcn.data import make_signals
from examples.tcn.model import AXES, CLASSES, make_model

WEIGHTS = Path(__file__).with_name("tcn.safetensors")
WINDOW = 64
"""Frames that the baseline looks back on, 1.28 s."""


class WindowStatistics(nn.Module):
    """The baseline: logistic regression on statistics of the last `WINDOW` frames.

    Mean, standard deviation, lowest and highest value, root mean square of the change from frame
    to frame and value now, for every axis, and the correlations between axes: what gesture
    recognisers without a network use.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(AXES * 6 + 3)
        self.head = nn.Linear(AXES * 6 + 3, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Acceleration in g, ``[batch, time, 3]``, to logits, ``[batch, time, classes]``."""
        x = x.transpose(1, 2)
        past = torch.cat([x[:, :, :1].expand(-1, -1, WINDOW - 1), x], dim=2)
        change = nn.functional.pad(past.diff(dim=2), (1, 0))
        first, second = [0, 0, 1], [1, 2, 2]
        raw = torch.cat([past, past.square(), past[:, first] * past[:, second], change.square()], 1)
        means = nn.functional.avg_pool1d(raw, WINDOW, stride=1)
        mean, square, product, change = torch.split(means, [AXES, AXES, 3, AXES], dim=1)
        std = (square - mean.square()).clamp(min=1e-6).sqrt()
        correlation = (product - mean[:, first] * mean[:, second]) / (
            std[:, first] * std[:, second]
        )
        highest = nn.functional.max_pool1d(past, WINDOW, stride=1)
        lowest = -nn.functional.max_pool1d(-past, WINDOW, stride=1)
        features = torch.cat(
            [mean, std, correlation, highest, lowest, (change + 1e-8).sqrt(), x], dim=1
        )
        logits: Tensor = self.head(self.norm(features).transpose(1, 2))
        return logits


def train(model: nn.Module, steps: int, *, count: int = 600, batch: int = 16) -> list[float]:
    """Trains in place on `count` signals of 20 s; returns the loss of every step."""
    signals, labels = make_signals(seed=1, count=count)
    x, y = torch.from_numpy(signals), torch.from_numpy(labels)
    rng = np.random.default_rng(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    model.train()
    losses = []
    for _ in range(steps):
        rows = torch.from_numpy(rng.integers(0, len(x), batch))
        logits = model(x[rows])
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def f1(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 score of every class, over frames."""
    scores = []
    for kind in range(len(CLASSES)):
        both = np.sum((predicted == kind) & (labels == kind))
        either = np.sum(predicted == kind) + np.sum(labels == kind)
        scores.append(2 * both / max(1, either))
    return np.array(scores)


@torch.inference_mode()
def predict(model: nn.Module, signals: NDArray[np.float32]) -> NDArray[np.int64]:
    """The likeliest class of every frame, ``[batch, time]``."""
    model.eval()
    return np.asarray(model(torch.from_numpy(signals)).argmax(-1).numpy(), np.int64)


def evaluate(model: nn.Module, baseline: nn.Module) -> None:
    """Prints F1 scores over frames of signals that no training saw."""
    signals, labels = make_signals(seed=99, count=100)
    ours = f1(predict(model, signals), labels)
    theirs = f1(predict(baseline, signals), labels)
    print(f"{'F1 over frames':<16}{'network':>9}{'baseline':>10}")
    for name, a, b in zip(CLASSES, ours, theirs, strict=True):
        print(f"{name:<16}{a:>9.3f}{b:>10.3f}")
    print(f"{'gestures, mean':<16}{ours[1:].mean():>9.3f}{theirs[1:].mean():>10.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--evaluate", action="store_true", help="only evaluate the weights there")
    options = parser.parse_args()
    torch.manual_seed(0)
    baseline = WindowStatistics()
    train(baseline, 800)
    model = make_model()
    if options.evaluate:
        model.load_state_dict(load_file(options.output))
    else:
        started = time.perf_counter()
        losses = train(model, options.steps)
        seconds = time.perf_counter() - started
        parameters = sum(p.numel() for p in model.parameters())
        print(f"{parameters:,} parameters, {options.steps} steps in {seconds:.0f} s", end="")
        print(f", loss {np.mean(losses[-100:]):.3f}")
        save_file(model.state_dict(), options.output)
    evaluate(model, baseline)


if __name__ == "__main__":
    main()
