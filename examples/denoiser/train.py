"""Trains the denoiser on noisy speech made as it goes, and says what it is worth.

Run it: ``python -m examples.denoiser.train --output denoiser.safetensors``
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from examples.denoiser.data import Speech, make_pair, make_pairs, make_speech
from examples.denoiser.model import HOP, N_FFT, make_model
from examples.noise import NOISES

WEIGHTS = Path(__file__).with_name("denoiser.safetensors")


def si_sdr_db(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, ``[batch]``, of ``[batch, time]``.

    Le Roux et al., "SDR - half-baked or well done?", 2019, equation 5.
    """
    estimate = estimate - estimate.mean(-1, keepdim=True)
    target = target - target.mean(-1, keepdim=True)
    scale = (estimate * target).sum(-1) / (target.square().sum(-1) + 1e-8)
    wanted = scale[:, None] * target
    ratio = wanted.square().sum(-1) / ((estimate - wanted).square().sum(-1) + 1e-8)
    return 10 * torch.log10(ratio + 1e-8)


def spectral_loss(estimate: Tensor, target: Tensor, window: Tensor) -> Tensor:
    """Distance of the spectra with magnitudes to the power 0.3, with phase and without."""

    def compressed(wave: Tensor) -> tuple[Tensor, Tensor]:
        spec = torch.stft(wave, N_FFT, HOP, window=window, return_complex=True)
        spec = torch.view_as_real(spec)
        power = spec.square().sum(-1, keepdim=True) + 1e-8
        return power**0.15, spec * power**-0.35

    (size, phasor), (true_size, true_phasor) = compressed(estimate), compressed(target)
    return 0.7 * nn.functional.mse_loss(size, true_size) + 0.3 * 2 * nn.functional.mse_loss(
        phasor, true_phasor
    )


def train(model: nn.Module, speech: Speech, steps: int, *, batch: int = 4) -> list[float]:
    """Trains in place and returns the loss of every step."""
    rng = np.random.default_rng(1)
    model.train()
    # The spectrum's real and imaginary part are its innermost axis: so is the channels' here.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.1
    )
    window = torch.hann_window(N_FFT).sqrt()
    losses = []
    started = time.perf_counter()
    for step in range(steps):
        pairs = make_pairs(speech, rng, batch, seconds=2.0, snr_db=(-5.0, 15.0))
        noisy, clean = torch.from_numpy(pairs.noisy), torch.from_numpy(pairs.clean)
        estimate = model(noisy)
        ratio = si_sdr_db(estimate, clean).mean()
        loss = -ratio / 10 + 10 * spectral_loss(estimate, clean, window)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 0 or step == steps - 1:
            gain = (ratio - si_sdr_db(noisy, clean).mean()).item()
            seconds = time.perf_counter() - started
            print(
                f"step {step:5d}  loss {np.mean(losses[-50:]):7.3f}  "
                f"SI-SDR {gain:+5.1f} dB  {seconds:4.0f} s",
                flush=True,
            )
    return losses


@torch.inference_mode()
def gains_db(model: nn.Module, speech: Speech, kind: str, count: int) -> tuple[float, float]:
    """Mean SI-SDR of the noisy input and mean improvement, both in dB, for one kind of noise."""
    rng = np.random.default_rng(NOISES.index(kind) + 1000)
    model.eval()
    before, after = [], []
    for _ in range(count):
        noisy, clean = make_pair(speech, rng, 4.0, (0.0, 10.0), kinds=(kind,))
        target = torch.from_numpy(clean)[None]
        wave = torch.from_numpy(noisy)[None]
        before.append(si_sdr_db(wave, target).item())
        after.append(si_sdr_db(model(wave), target).item())
    return float(np.mean(before)), float(np.mean(after) - np.mean(before))


def evaluate(model: nn.Module, count: int = 20) -> float:
    """Prints the improvement for every kind of noise on unheard voices; returns the mean in dB."""
    speech = make_speech(seed=7, count=60, test=True)
    print(f"{'noise':<12}{'noisy SI-SDR':>14}{'improvement':>13}")
    gains = []
    for kind in NOISES:
        before, gain = gains_db(model, speech, kind, count)
        gains.append(gain)
        print(f"{kind:<12}{before:>11.1f} dB{gain:>10.1f} dB")
    mean = float(np.mean(gains))
    print(f"{'mean':<12}{'':>14}{mean:>10.1f} dB")
    return mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--evaluate", action="store_true", help="only evaluate the weights there")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    model = make_model()
    if options.evaluate:
        model.load_state_dict(load_file(options.output))
    else:
        speech = make_speech(seed=0, count=600)
        hours = sum(map(len, speech.sentences)) / 16_000 / 3600
        parameters = sum(p.numel() for p in model.parameters())
        print(f"{hours:.2f} hours of speech, {parameters:,} parameters")
        train(model, speech, options.steps)
        state = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(state, options.output)
    evaluate(model)


if __name__ == "__main__":
    main()
