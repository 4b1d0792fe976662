"""The examples as model files, for the measurements: exported as their READMEs say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

import rnnedge
from rnnedge_exporters.source import load_module, load_weights

_FOLDER = Path(__file__).parent.parent / "examples"


@dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        name: of its folder; what is exported, where there are two.
        factory: what makes the module.
        weights: of its folder; None where the factory takes them from a package.
        inputs: of the export.
        frames: of one push, 10 ms of signal where time is sampled as finely.
    """

    name: str
    factory: str
    weights: str | None
    inputs: tuple[str, ...]
    frames: int

    def module(self) -> nn.Module:
        """The trained network, in evaluation mode."""
        module = load_module(self.factory, {})
        if self.weights is not None:
            load_weights(module, _FOLDER / self.weights)
        return module.eval()

    def export(self, folder: Path, *, one_frame: bool = False) -> Path:
        """Writes the file; its proof is what the tests are for."""
        path = folder / f"{self.name}{'_one_frame' if one_frame else ''}.onnx"
        rnnedge.export(self.module(), path, inputs=self.inputs, verify=False, one_frame=one_frame)
        return path


EXAMPLES = (
    Example(
        "denoiser",
        "examples.denoiser.model:make_model",
        "denoiser/denoiser.safetensors",
        ("wave: float32[batch, time]",),
        160,
    ),
    Example(
        "silero_vad",
        "examples.silero_vad.model:make_model",
        None,
        ("wave: float32[batch, time]",),
        160,
    ),
    Example(
        "keyword",
        "examples.keyword.model:make_model",
        "keyword/keyword.safetensors",
        ("mels: float32[batch, time, 40]",),
        1,
    ),
    Example(
        "tcn",
        "examples.tcn.model:make_model",
        "tcn/tcn.safetensors",
        ("x: float32[batch, time, 3]",),
        1,
    ),
    Example(
        "g2p",
        "examples.g2p.model:make_decoder",
        None,
        ("phonemes: int64[batch, time]",),
        1,
    ),
)
