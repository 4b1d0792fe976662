"""Tells when somebody speaks, while it is spoken: 32 ms in, a probability out.

Run it: ``python -m examples.silero_vad.stream vad.onnx speech.wav --picture timeline.png``. Without
a .wav file it listens to four synthesised voices over a fan.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

import rnnedge
from examples.silero_vad.data import make_scene
from examples.silero_vad.model import FRAME
from examples.silero_vad.weights import data_file
from examples.speech import SAMPLE_RATE, Wave

OPEN, CLOSE = 0.5, 0.35
"""Speech begins at a probability of the first, and ends below the second, as in the package."""

PATIENCE = 4
"""Frames that a pause must outlast, 0.1 s and a little, before it ends what was speech."""

FRAME_S = FRAME / SAMPLE_RATE
Spans = list[tuple[float, float]]


def spans(probabilities: Iterable[float]) -> Iterator[tuple[int, int]]:
    """From probabilities, one per frame, to the first frame of speech and the first after it."""
    start = pause = None
    count = 0
    for frame, probability in enumerate(probabilities):
        count = frame + 1
        if probability >= OPEN:
            start, pause = frame if start is None else start, None
        elif probability < CLOSE and start is not None:
            pause = frame if pause is None else pause
            if frame - pause >= PATIENCE:
                yield start, pause
                start = pause = None
    if start is not None:
        yield start, count


def listen(model: rnnedge.Model, wave: Wave, times: list[float]) -> Iterator[float]:
    """Pushes the signal frame by frame; adds to `times` how long each took, in µs."""
    stream = model.stream()
    for start in range(0, len(wave) - FRAME + 1, FRAME):
        begun = time.perf_counter()
        probability = np.asarray(stream.push(wave[None, start : start + FRAME]))
        times.append((time.perf_counter() - begun) * 1e6)
        yield float(probability.item())


def picture(
    wave: Wave, probabilities: list[float], heard: Spans, spoken: Spans, path: Path
) -> None:
    """Draws the signal with what was heard and what was spoken, and the probability below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="tight")
    above, below = figure.subplots(2, 1, sharex=True)
    frames = wave[: len(probabilities) * FRAME].reshape(-1, FRAME)
    seconds = FRAME_S * np.arange(len(probabilities))
    above.fill_between(seconds, frames.min(1), frames.max(1), step="post", color="gray")
    bars = [[(start, end - start) for start, end in found] for found in (heard, spoken)]
    above.broken_barh(bars[0], (-0.7, 1.4), alpha=0.3, label="heard")
    above.broken_barh(bars[1], (-0.65, 0.05), color="black", label="spoken")
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    above.set(ylabel="signal", ylim=(-0.7, 0.7))
    below.step(seconds, probabilities, where="post")
    for threshold in (OPEN, CLOSE):
        below.axhline(threshold, color="gray", linestyle=":", linewidth=1)
    below.set(xlabel="s", ylabel="probability", ylim=(-0.02, 1.02))
    figure.savefig(path, dpi=110)


def original(wave: Wave, file: Path) -> list[float]:
    """What an ONNX file of the package gives, driven by the package's own code (needs torch)."""
    import torch
    from silero_vad.utils_vad import OnnxWrapper

    whole = torch.from_numpy(wave[: len(wave) // FRAME * FRAME])
    given = OnnxWrapper(str(file), force_onnx_cpu=True).audio_forward(whole, SAMPLE_RATE)
    return given[0].tolist()


def read(path: Path | None) -> tuple[Wave, Spans]:
    """The signal, and when it is spoken in it, as far as that is known."""
    if path is None:
        scene = make_scene(seed=3)
        return scene.wave, [(a / SAMPLE_RATE, b / SAMPLE_RATE) for a, b in scene.spoken]
    wave, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE or wave.ndim != 1:
        raise SystemExit(f"{path}: mono at 16 kHz is needed, got {rate} Hz, shape {wave.shape}")
    return wave, []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("input", type=Path, nargs="?", help="a .wav file")
    parser.add_argument("--picture", type=Path, help="a .png or .svg for the timeline")
    parser.add_argument("--beside", action="store_true", help="compare with the package's file")
    options = parser.parse_args()
    wave, spoken = read(options.input)
    times: list[float] = []
    probabilities = list(listen(rnnedge.load(options.model), wave, times))
    heard = [(start * FRAME_S, end * FRAME_S) for start, end in spans(probabilities)]
    for name, found in ("spoken", spoken), ("heard", heard):
        print(f"{name:<8}" + "  ".join(f"{start:5.2f}-{end:5.2f}" for start, end in found))
    p50, p99 = np.percentile(times, [50, 99])
    print(f"push {p50:.0f} us median, {p99:.0f} us at the 99th percentile, of 32,000")
    if options.beside:
        apart = np.abs(np.subtract(probabilities, original(wave, data_file("silero_vad.onnx"))))
        print(f"beside silero_vad.onnx: {apart.max():.1e} apart at most, in {len(apart)} frames")
    if options.picture:
        picture(wave, probabilities, heard, spoken, options.picture)
        print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()
