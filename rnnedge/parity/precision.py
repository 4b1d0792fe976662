"""Computing in float64 where forward, or a graph of it, would compute in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from rnnedge.parity.measure import Array


class _Double(TorchFunctionMode):
    """Where forward asks for float32 by name, it gets float64: the judge computes in that alone."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.float:
            return args[0].double()
        args, kwargs = pytree.tree_map(doubled, (args, kwargs or {}))
        return func(*args, **kwargs)


def doubled(argument: Any) -> Any:
    """float64 for float32; anything else as it is."""
    return torch.float64 if argument is torch.float32 else argument


def tensor_of(array: Array, dtype: torch.dtype) -> Tensor:
    """A copy as a tensor; floats in that precision."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


@contextlib.contextmanager
def arithmetic(dtype: torch.dtype) -> Iterator[None]:
    """Tensors that forward makes itself follow the module's precision; one thread computes.

    Several threads gain little on one step of a recurrent layer, and lose tenfold where another
    process has the cores: they wait for each other at every step.
    """
    before, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(dtype)
    torch.set_num_threads(1)
    try:
        with _Double() if dtype is torch.float64 else contextlib.nullcontext():
            yield
    finally:
        torch.set_default_dtype(before)
        torch.set_num_threads(threads)
