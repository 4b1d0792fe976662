"""Denoises a .wav file as a microphone would deliver it, in blocks of 10 ms.

Run it: ``python -m examples.denoiser.stream denoiser.onnx noisy.wav --output clean.wav``. Without
an input, speech in noise that the network never heard is made up and written beside the output.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

import rnnedge
from examples.speech import SAMPLE_RATE, Wave

BLOCK = SAMPLE_RATE // 100


class Run(NamedTuple):
    """What came out, and how long it took.

    Attributes:
        wave: the denoised signal, aligned with the input, ``[time]``.
        push_us: time of every push.
        delay_samples: by how many samples the output lags behind the input.
    """

    wave: Wave
    push_us: NDArray[np.float64]
    delay_samples: int


def denoise(model: rnnedge.Model, source: Path, *, pace: bool = False) -> Run:
    """Pushes a mono 16 kHz file block by block; with `pace` no faster than it would be spoken."""
    stream = model.stream()
    parts, times = [], []
    begun = time.perf_counter()
    for index, block in enumerate(soundfile.blocks(source, BLOCK, dtype="float32")):
        if pace:
            time.sleep(max(0.0, begun + index * BLOCK / SAMPLE_RATE - time.perf_counter()))
        start = time.perf_counter()
        parts.append(np.asarray(stream.push(block[None])))
        times.append((time.perf_counter() - start) * 1e6)
    parts.append(np.asarray(stream.flush()))
    delay = model.contract.outputs[0].delay
    return Run(np.concatenate(parts, axis=1)[0, delay:], np.array(times), delay)


def report(run: Run, chunk_samples: int) -> str:
    """Speed and latency, in words."""
    seconds = len(run.wave) / SAMPLE_RATE
    factor = run.push_us.sum() / 1e6 / seconds
    p50, p99 = np.percentile(run.push_us, [50, 99])
    algorithmic_ms = 1000 * (run.delay_samples + chunk_samples) / SAMPLE_RATE
    return (
        f"audio             {seconds:.1f} s in {len(run.push_us)} blocks of 10 ms\n"
        f"push              {p50:.0f} us median, {p99:.0f} us at the 99th percentile\n"
        f"real-time factor  {factor:.3f} ({1 / factor:.0f} times faster than real time)\n"
        f"latency           {algorithmic_ms:.0f} ms by design, {p50 / 1000:.2f} ms to compute"
    )


def picture(noisy: Wave, clean: Wave, path: Path) -> None:
    """Writes the spectrograms before and after."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 1, sharex=True, sharey=True, figsize=(9, 6), layout="tight")
    for axis, wave, title in zip(axes, (noisy, clean), ("noisy", "denoised"), strict=True):
        axis.specgram(
            wave + 1e-7, NFFT=512, Fs=SAMPLE_RATE, noverlap=352, vmin=-130, vmax=-40, cmap="magma"
        )
        axis.set(title=title, ylabel="Hz")
    axes[1].set(xlabel="s")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def make_sample(path: Path) -> None:
    """Writes 8 s of unheard speech over a fan and clicks, at 3 dB."""
    from examples.denoiser.data import make_pair, make_speech

    speech = make_speech(seed=11, count=12, test=True)
    rng = np.random.default_rng(11)
    noisy, _ = make_pair(speech, rng, 8.0, (3.0, 3.0), kinds=("fan", "clicks"))
    soundfile.write(path, noisy, SAMPLE_RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("input", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, default=Path("denoised.wav"))
    parser.add_argument("--picture", type=Path, help="a .png for the spectrograms")
    parser.add_argument(
        "--pace", action="store_true", help="wait for each block as for a microphone"
    )
    options = parser.parse_args()
    source = options.input
    if source is None:
        source = options.output.with_name("noisy.wav")
        make_sample(source)
    noisy, rate = soundfile.read(source, dtype="float32")
    if rate != SAMPLE_RATE or noisy.ndim != 1:
        raise SystemExit(f"{source}: mono at 16 kHz is needed, got {rate} Hz, shape {noisy.shape}")
    model = rnnedge.load(options.model)
    run = denoise(model, source, pace=options.pace)
    soundfile.write(options.output, run.wave, SAMPLE_RATE)
    print(report(run, model.contract.chunk_multiple))
    print(f"wrote {options.output}")
    if options.picture:
        picture(noisy, run.wave, options.picture)
        print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()
