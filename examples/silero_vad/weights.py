"""The weights of silero-vad, read from the package that PyPI has; nothing of it is run for that.

It holds two sets of weights for 16 kHz, of different trainings: one in `SAFETENSORS`, and one in
``silero_vad.onnx`` and in `ONNX`, which has that file's network for 16 kHz alone.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx.numpy_helper import to_array
from safetensors.torch import load_file
from torch import Tensor

from examples.packages import shipped

SAFETENSORS, ONNX = "silero_vad_16k.safetensors", "silero_vad_16k_op15.onnx"

_LAYERS = {  # ours: in the safetensors file, in the ONNX file
    "conv1": ("conv1", "model.encoder.0.reparam_conv"),
    "conv2": ("conv2", "model.encoder.1.reparam_conv"),
    "conv3": ("conv3", "model.encoder.2.reparam_conv"),
    "conv4": ("conv4", "model.encoder.3.reparam_conv"),
    "lstm": ("lstm_cell", "model.decoder.rnn"),
    "head": ("final_conv", "model.decoder.decoder.2"),
}


def data_file(name: str) -> Path:
    """A file of the package's data."""
    return shipped("silero-vad", f"silero_vad/data/{name}")


def read_weights(file: str) -> dict[str, Tensor]:
    """All weights in `SAFETENSORS` or `ONNX`, under the names that they have there."""
    path = data_file(file)
    if file == SAFETENSORS:
        return load_file(path)
    constants = onnx.load(path).graph.initializer
    return {constant.name: torch.from_numpy(to_array(constant).copy()) for constant in constants}


def name_in(file: str, name: str) -> str:
    """What a parameter of `SileroVad` is called in that file."""
    layer, kind = name.split(".")
    if layer == "stft":
        return "stft_conv.weight" if file == SAFETENSORS else "model.stft.forward_basis_buffer"
    return f"{_LAYERS[layer][file == ONNX]}.{kind.removesuffix('_l0')}"
