"""The hand-written streaming core that the benchmark compares with."""

import torch

from benchmarks.denoiser_by_hand import CoreStep, load_core
from examples.denoiser.model import BINS


@torch.inference_mode()
def test_stepping_by_hand_is_the_whole_sequence():
    core = load_core().double()
    step = CoreStep(core)
    states = step.initial_states(torch.float64)
    spec = torch.randn(1, 60, BINS, 2, dtype=torch.float64)
    frames = []
    for index in range(spec.shape[1]):
        frame, *states = step(spec[:, index : index + 1], *states)
        frames.append(frame)
    torch.testing.assert_close(torch.cat(frames, 1), core(spec), rtol=0, atol=1e-11)
