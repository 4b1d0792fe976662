"""Modules in other than single precision become float32, the one that onnxruntime has kernels for.

Its CPU kernels of ``RNN``, ``GRU`` and ``LSTM`` take float32 alone: not float64, not float16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from rnnedge_exporters.capture.attributes import copied
from rnnedge_exporters.specs import TensorSpec

_OTHERS = (torch.float64, torch.float16, torch.bfloat16)


def other_precision(module: nn.Module) -> str | None:
    """``float64`` or the like, if parameters of the module are not float32."""
    for tensor in module.parameters():
        if tensor.dtype in _OTHERS:
            return str(tensor.dtype).removeprefix("torch.")
    return None


def in_float32(
    module: nn.Module, inputs: Mapping[str, TensorSpec]
) -> tuple[nn.Module, dict[str, TensorSpec]]:
    """The module and its inputs in float32; as they are, if they are so.

    Args:
        module: copied if it has to change.
        inputs: the data arguments; those of the module's own precision change with it.
    """
    precision = other_precision(module)
    if precision is None:
        return module, dict(inputs)
    twin = copied(module).float()
    specs = {
        name: replace(spec, dtype="float32") if spec.torch_dtype in _OTHERS else spec
        for name, spec in inputs.items()
    }
    return twin, specs
