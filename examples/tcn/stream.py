"""Recognises gestures while they happen: one frame of three axes per push.

Run it: ``python -m examples.tcn.stream tcn.onnx``
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import rnnedge
from examples.tcn.data import FRAME_RATE, make_signals
from examples.tcn.model import CLASSES

STEADY = 5
"""Frames for which a class must stay the likeliest before it is announced."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--seed", type=int, default=123)
    options = parser.parse_args()
    signals, labels = make_signals(options.seed, count=1)
    stream = rnnedge.load(options.model).stream()
    times, run, previous = [], 0, 0
    print("  seen at  gesture        truth")
    for index in range(signals.shape[1]):
        start = time.perf_counter()
        logits = np.asarray(stream.push(signals[:, index : index + 1]))
        times.append((time.perf_counter() - start) * 1e6)
        best = int(logits[0, -1].argmax())
        run = run + 1 if best == previous else 1
        previous = best
        if best and run == STEADY:
            truth = CLASSES[labels[0, index]]
            print(f"{index / FRAME_RATE:>7.2f} s  {CLASSES[best]:<14} {truth}")
    p50, p99 = np.percentile(times, [50, 99])
    print(f"push {p50:.0f} us median, {p99:.0f} us at the 99th percentile, of 20,000 per frame")


if __name__ == "__main__":
    main()
