"""Trains the keyword detector, and compares it with a linear layer over the last second.

Run it: ``python -m examples.keyword.train --output keyword.safetensors``
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

from examples.keyword.data import (
    FRAME_RATE,
    HOP,
    IGNORE,
    Bank,
    Recording,
    log_mel,
    make_bank,
    make_labels,
    make_recording,
)
from examples.keyword.model import CLASSES, MELS, make_model

WEIGHTS = Path(__file__).with_name("keyword.safetensors")
SMOOTH = 5  # frames over which scores are averaged
PATIENCE = FRAME_RATE // 2  # frames after a keyword in which it may still be reported


class LinearBaseline(nn.Module):
    """The baseline: one linear layer over the log-mel frames of the last second."""

    def __init__(self, window: int = FRAME_RATE) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(MELS)
        self.conv = nn.Conv1d(MELS, len(CLASSES), window)

    def forward(self, mels: Tensor) -> Tensor:
        """Log-mel frames, ``[batch, time, mels]``, to logits, ``[batch, time, classes]``."""
        x = self.norm(mels.transpose(1, 2))
        logits: Tensor = self.conv(nn.functional.pad(x, (self.conv.kernel_size[0] - 1, 0)))
        return logits.transpose(1, 2)


def make_batches(bank: Bank, seed: int, count: int, seconds: float) -> tuple[Tensor, Tensor]:
    """Log-mel frames and labels: ``[count, time, mels]``, ``[count, time]``."""
    rng = np.random.default_rng(seed)
    recordings = [make_recording(bank, rng, seconds) for _ in range(count)]
    mels = np.stack([log_mel(recording.wave) for recording in recordings])
    labels = np.stack([make_labels(recording) for recording in recordings])
    return torch.from_numpy(mels), torch.from_numpy(labels)


def train(model: nn.Module, mels: Tensor, labels: Tensor, steps: int, batch: int = 12) -> float:
    """Trains in place; returns the mean loss of the last 50 steps."""
    rng = np.random.default_rng(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    model.train()
    losses = []
    for _ in range(steps):
        rows = torch.from_numpy(rng.integers(0, len(mels), batch))
        x = mels[rows] + torch.from_numpy(rng.uniform(-0.5, 0.5, (batch, 1, 1)).astype(np.float32))
        logits = model(x).transpose(1, 2)
        loss = nn.functional.cross_entropy(logits, labels[rows], ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses[-50:]))


@torch.inference_mode()
def scores_of(model: nn.Module, recording: Recording) -> NDArray[np.float32]:
    """Smoothed probabilities, ``[time, classes]``."""
    model.eval()
    probability = model(torch.from_numpy(log_mel(recording.wave))[None]).softmax(-1)[0]
    return smooth(probability.numpy())


def smooth(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the last `SMOOTH` frames, ``[time, classes]``."""
    padded = np.concatenate([np.zeros((SMOOTH - 1, len(CLASSES)), np.float32), probability])
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTH, axis=0)
    return np.asarray(windows.mean(-1), np.float32)


def detect(scores: NDArray[np.float32], threshold: float) -> list[tuple[int, int]]:
    """Frame and class of each detection; half a second of silence after each."""
    best = scores[:, 1:].max(1)
    found: list[tuple[int, int]] = []
    free = 0
    for frame in np.flatnonzero(best > threshold).tolist():
        if frame >= free:
            # The score may still be rising: what counts is the best class of the next 100 ms.
            found.append((frame, 1 + int(scores[frame : frame + 5, 1:].max(0).argmax())))
            free = frame + PATIENCE
    return found


def judge(
    pairs: list[tuple[Recording, NDArray[np.float32]]], threshold: float
) -> tuple[float, float]:
    """The share of keywords that were reported as what they are, and false alarms per hour."""
    right = total = false = 0
    hours = 0.0
    for recording, scores in pairs:
        spans = [(kind, a // HOP, b // HOP + PATIENCE) for kind, a, b in recording.words]
        heard = set()
        for frame, kind in detect(scores, threshold):
            hits = [n for n, (k, a, b) in enumerate(spans) if a <= frame <= b and k == kind]
            heard.update(hits)
            false += not hits
        right, total = right + len(heard), total + len(spans)
        hours += len(scores) / FRAME_RATE / 3600
    return right / max(1, total), false / hours


def threshold_for(
    pairs: list[tuple[Recording, NDArray[np.float32]]], alarms_per_hour: float
) -> float:
    """The lowest threshold that keeps to so many false alarms."""
    grid = 1 - np.geomspace(0.9, 0.002, 60)
    return next((t for t in grid.tolist() if judge(pairs, t)[1] <= alarms_per_hour), 1.0)


def evaluate(models: dict[str, nn.Module], alarms_per_hour: float = 60.0) -> None:
    """Prints accuracy and false alarms on unheard voices; thresholds come from other recordings."""
    bank = make_bank(seed=7, count=24, test=True)
    rng = np.random.default_rng(8)
    # Half of the recordings hold no keyword at all: two thirds of what can raise a false alarm.
    shares = [0.5, 0.0] * 30
    tuning = [make_recording(bank, rng, 20.0, share=share) for share in shares]
    testing = [make_recording(bank, rng, 20.0, share=share) for share in shares * 2]
    words = sum(len(recording.words) for recording in testing)
    print(f"{words} keywords in {len(testing) * 20 / 60:.0f} minutes, voices not trained on")
    print(f"{'':<12}{'threshold':>10}{'accuracy':>10}{'false alarms per hour':>23}")
    for name, model in models.items():
        threshold = threshold_for([(r, scores_of(model, r)) for r in tuning], alarms_per_hour)
        accuracy, alarms = judge([(r, scores_of(model, r)) for r in testing], threshold)
        print(f"{name:<12}{threshold:>10.3f}{accuracy:>10.1%}{alarms:>23.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--evaluate", action="store_true", help="only evaluate the weights there")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    mels, labels = make_batches(make_bank(seed=0, count=160), seed=0, count=1500, seconds=8.0)
    baseline = LinearBaseline()
    train(baseline, mels, labels, 600)
    model = make_model()
    if options.evaluate:
        model.load_state_dict(load_file(options.output))
    else:
        started = time.perf_counter()
        loss = train(model, mels, labels, options.steps)
        seconds = time.perf_counter() - started
        parameters = sum(p.numel() for p in model.parameters())
        print(f"{parameters:,} parameters, {options.steps} steps in {seconds:.0f} s, ", end="")
        print(f"loss {loss:.3f}")
        save_file(model.state_dict(), options.output)
    evaluate({"network": model, "baseline": baseline})


if __name__ == "__main__":
    main()
