"""Networks as packages on PyPI ship them: the authors' own code, unchanged."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from case import Case
from torch import Tensor, nn


def part_of(package: str, module: str) -> Any:
    """Imports ``package.module`` without what the package's own ``__init__`` pulls in.

    The packages import data sets, trainers and compiled audio libraries first; their networks need
    torch only. So every parent of `module` becomes a bare package.

    Raises:
        ImportError: the package is not installed.
    """
    known = sys.modules.get(package)
    if known is not None:
        folder = Path(next(iter(known.__path__)))
    else:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ImportError(f"{package} is not installed")
        folder = Path(spec.origin).parent
    name = package
    for part in ["", *module.split(".")[:-1]]:
        if part:
            name, folder = f"{name}.{part}", folder / part
        if name not in sys.modules:
            bare = ModuleType(name)
            bare.__path__ = [str(folder)]
            sys.modules[name] = bare
    return importlib.import_module(f"{package}.{module}")


class Only(nn.Module):
    """Calls a network with one argument, leaving the optional ones of its forward at home."""

    def __init__(self, net: nn.Module, past: int = 0) -> None:
        super().__init__()
        self.net, self.past = net, past

    def forward(self, x: Tensor) -> Tensor:
        return self.net(F.pad(x, (self.past, 0)) if self.past else x)


def tcn(**options: Any) -> nn.Module:
    package = importlib.import_module("pytorch_tcn")
    return Only(package.TCN(6, [8, 8, 12], kernel_size=3, **options))


def demucs(**options: Any) -> nn.Module:
    package = importlib.import_module("denoiser.demucs")
    return Only(package.Demucs(hidden=4, depth=3, **options))


def tasnet_masks(norm: str, causal: bool) -> nn.Module:
    package = part_of("asteroid", "masknn.convolutional")
    sizes = {"n_blocks": 3, "n_repeats": 2, "bn_chan": 8, "hid_chan": 12, "skip_chan": 8}
    return Only(package.TDConvNet(16, 2, norm_type=norm, causal=causal, **sizes))


def lstm_masks() -> nn.Module:
    package = part_of("asteroid", "masknn.recurrent")
    return Only(package.LSTMMasker(16, 2, hid_size=12, n_layers=2, bidirectional=False))


def dprnn() -> nn.Module:
    package = part_of("asteroid", "masknn.recurrent")
    sizes = {"bn_chan": 8, "hid_size": 12, "chunk_size": 8, "n_repeats": 2}
    return Only(package.DPRNN(16, 2, bidirectional=False, **sizes))


def torchaudio(module: str, name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        return Only(getattr(part_of("torchaudio", f"models.{module}"), name)(**options))

    return make


def conformer(**options: Any) -> nn.Module:
    package = importlib.import_module("conformer")
    return package.ConformerConvModule(dim=16, **options)


def conformer_block() -> nn.Module:
    package = importlib.import_module("conformer")
    return Only(package.ConformerBlock(dim=16, dim_head=8, heads=2, conv_causal=True))


def nam_wavenet() -> nn.Module:
    package = part_of("nam", "models.wavenet._wavenet")
    layers: dict[str, Any] = {
        "condition_size": 1,
        "kernel_size": 3,
        "activation": "Tanh",
    }
    heads = [{"out_channels": size, "kernel_size": 1, "bias": False} for size in (4, 1)]
    layers["dilations"] = [1, 2, 4, 8]
    arrays = [
        {"input_size": 1, "channels": 6, "head": heads[0], **layers},
        {"input_size": 6, "channels": 4, "head": heads[1], **layers},
    ]
    net = package.WaveNet.init_from_config({"layers_configs": arrays, "head_scale": 0.02})
    return Only(net, past=net.receptive_field - 1)


def open_unmix(**options: Any) -> nn.Module:
    part_of("torchaudio", "models")  # imported for transforms that its network does not use
    package = part_of("openunmix", "model")
    return package.OpenUnmix(nb_bins=17, hidden_size=12, nb_layers=2, **options)


def encodec(half: str) -> nn.Module:
    package = part_of("encodec", "modules")
    sizes = {"dimension": 8, "n_filters": 4, "ratios": [4, 2], "causal": True, "lstm": 1}
    return Only(getattr(package, half)(**sizes))


def vocos_backbone() -> nn.Module:
    package = part_of("vocos", "models")
    return Only(package.VocosBackbone(16, dim=12, intermediate_dim=24, num_layers=2))


MONO = {"x": "float32[batch, 1, time]"}
FEATURES = {"x": "float32[batch, 16, time]"}
SENSORS = {"x": "float32[batch, 6, time]"}
CASES = [
    Case("pytorch-tcn", "pytorch-tcn 1.2.3", tcn, SENSORS),
    Case(
        "pytorch-tcn-gated",
        "pytorch-tcn 1.2.3",
        lambda: tcn(use_gate=True, use_skip_connections=True, activation="tanh"),
        SENSORS,
    ),
    Case("pytorch-tcn-same", "pytorch-tcn 1.2.3", lambda: tcn(causal=False), SENSORS),
    Case(
        "demucs-package",
        "denoiser 0.1.5",
        lambda: demucs(normalize=False, resample=1),
        MONO,
    ),
    Case("demucs-normalize", "denoiser 0.1.5", demucs, MONO),
    Case(
        "td-conv-net-cumulative",
        "asteroid 0.7.0",
        lambda: tasnet_masks("cgLN", True),
        FEATURES,
    ),
    Case("td-conv-net-causal-bn", "asteroid 0.7.0", lambda: tasnet_masks("bN", True), FEATURES),
    Case("td-conv-net-global", "asteroid 0.7.0", lambda: tasnet_masks("gLN", False), FEATURES),
    Case("lstm-masker", "asteroid 0.7.0", lstm_masks, FEATURES),
    Case("dprnn", "asteroid 0.7.0", dprnn, FEATURES),
    Case(
        "open-unmix-unidirectional",
        "openunmix 1.3.0",
        lambda: open_unmix(unidirectional=True),
        {"x": "float32[batch, 2, 17, time]"},
    ),
    Case("open-unmix", "openunmix 1.3.0", open_unmix, {"x": "float32[batch, 2, 17, time]"}),
    Case("encodec-encoder", "encodec 0.1.1", lambda: encodec("SEANetEncoder"), MONO),
    Case(
        "encodec-decoder",
        "encodec 0.1.1",
        lambda: encodec("SEANetDecoder"),
        {"x": "float32[batch, 8, time]"},
    ),
    Case("vocos-backbone", "vocos 0.1.0", vocos_backbone, FEATURES),
    Case("nam-wavenet", "neural-amp-modeler 0.13.0", nam_wavenet, MONO),
    Case(
        "conformer-conv-causal",
        "conformer 0.3.2",
        lambda: conformer(causal=True, kernel_size=7),
        {"x": "float32[batch, time, 16]"},
    ),
    Case(
        "conformer-conv-same",
        "conformer 0.3.2",
        lambda: conformer(causal=False, kernel_size=7),
        {"x": "float32[batch, time, 16]"},
    ),
    Case("conformer-block", "conformer 0.3.2", conformer_block, {"x": "float32[batch, time, 16]"}),
    Case(
        "torchaudio-conv-tasnet",
        "torchaudio 2.11.0",
        torchaudio("conv_tasnet", "ConvTasNet", enc_num_feats=16, msk_num_feats=8,
                   msk_num_hidden_feats=8, msk_num_layers=2, msk_num_stacks=2),
        MONO,
    ),
    Case(
        "torchaudio-deepspeech",
        "torchaudio 2.11.0",
        torchaudio("deepspeech", "DeepSpeech", n_feature=16, n_hidden=16),
        {"x": "float32[batch, 1, time, 16]"},
    ),
]  # fmt: skip
