"""Silero's voice activity detector at 16 kHz, as a network for whole signals.

For every 512 samples it gives the probability that somebody speaks in them. It sees these samples
and the 64 before them; an LSTM remembers the rest. The published files take one such window per
call and hand their state to the caller. Here the windows are cut from the signal, and the LSTM runs
over all of them; nothing is written for streaming.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from examples.silero_vad.weights import SAFETENSORS, name_in, read_weights

FRAME, CONTEXT = 512, 64  # samples: what is new in a window, and what is seen again
N_FFT, HOP = 256, 128
BINS, WIDTH = N_FFT // 2 + 1, 128


class SileroVad(nn.Module):
    """A Fourier transform and convolutions within each window, an LSTM from window to window."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 2 * BINS, N_FFT, HOP, bias=False)
        self.conv1 = nn.Conv1d(BINS, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, WIDTH, 3, padding=1)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, wave: Tensor) -> Tensor:
        """Samples in -1..1, ``[batch, time]``, to probabilities, ``[batch, time / 512]``."""
        windows = F.pad(wave, (CONTEXT, 0)).unfold(1, CONTEXT + FRAME, FRAME)
        features = self.features(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        hidden, _ = self.lstm(features)
        return self.head(hidden.relu()).sigmoid()[..., 0]

    def features(self, window: Tensor) -> Tensor:
        """``[windows, 576]`` to ``[windows, width]``; the strides make one frame of four."""
        window = F.pad(window, (0, N_FFT // 4), mode="reflect")
        real, imaginary = self.stft(window[:, None]).chunk(2, dim=1)
        x = (real**2 + imaginary**2).sqrt()
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = conv(x).relu()
        return x[..., 0]


def make_model(weights: str = SAFETENSORS) -> SileroVad:
    """The network with the published weights of a file of the package, `SAFETENSORS` or `ONNX`."""
    model, published = SileroVad(), read_weights(weights)
    found = {name: published[name_in(weights, name)] for name in model.state_dict()}
    found["head.weight"] = found["head.weight"][..., 0]  # there a convolution of length 1
    model.load_state_dict(found)
    return model
