"""Spots keywords while they are spoken: blocks of 20 ms in, words out.

Run it: ``python -m examples.keyword.stream keyword.onnx``; it listens to speech made for the
occasion by voices that the network never heard.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import rnnedge
from examples.keyword.data import FRAME_RATE, HOP, WINDOW, log_mel, make_bank, make_recording
from examples.keyword.model import CLASSES
from examples.keyword.train import PATIENCE, SMOOTH
from examples.speech import SAMPLE_RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--threshold", type=float, default=0.6)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    bank = make_bank(seed=21, count=4, test=True)
    recording = make_recording(bank, np.random.default_rng(21), options.seconds)
    spoken = ", ".join(
        f"{CLASSES[kind]} {end / SAMPLE_RATE:.1f}" for kind, _, end in recording.words
    )
    print(f"spoken, with the second in which each ends: {spoken}")
    stream = rnnedge.load(options.model).stream()
    kept = np.zeros(0, np.float32)  # samples that the next window needs again
    recent = np.zeros((SMOOTH, len(CLASSES)), np.float32)
    times, free = [], 0
    for index in range(len(recording.wave) // HOP):
        kept = np.append(kept, recording.wave[index * HOP : (index + 1) * HOP])
        if len(kept) < WINDOW:
            continue
        start = time.perf_counter()
        mels = log_mel(kept[:WINDOW])
        kept = kept[HOP:]
        logits = np.asarray(stream.push(mels[None]))[0, -1]
        times.append((time.perf_counter() - start) * 1e6)
        odds = np.exp(logits - logits.max())
        recent = np.append(recent[1:], odds[None] / odds.sum(), axis=0)
        scores = recent.mean(0)
        best = 1 + int(scores[1:].argmax())
        if index >= free and scores[best] > options.threshold:
            print(f"{index / FRAME_RATE:>7.2f} s  {CLASSES[best]:<8}{scores[best]:.2f}")
            free = index + PATIENCE
    p50, p99 = np.percentile(times, [50, 99])
    print(f"features and push {p50:.0f} us median, {p99:.0f} us at the 99th percentile, of 20,000")


if __name__ == "__main__":
    main()
