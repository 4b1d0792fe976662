"""Memory: where a session reads its inputs from, and how a stream's tensors get there.

Onnxruntime copies an input to the memory of the node that reads it when the input is bound, and
never again. So states lie in that memory from the start, and are bound once; an input that comes
from the host is copied to a tensor there before every run, which costs less than to bind it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort

from rnnedge_runtime.arrays import Array
from rnnedge_runtime.providers.table import CPU

NewTensor = Callable[[Sequence[int], Any], ort.OrtValue]
Step = Callable[[], Any]

_HOST_NAME = "Cpu"
_BUILT_IN = {"Cuda": "cuda", "DML": "dml"}
"""Memory of providers that are built into onnxruntime, and what OrtValue calls its device."""


class Memory:
    """Where one session reads each of its inputs.

    Attributes:
        device: where it reads most of them: onnxruntime's device name and id.
    """

    def __init__(self, session: ort.InferenceSession, provider: str) -> None:
        self.device = ("cpu", 0)
        self._makers: dict[str, NewTensor | None] = {}
        if provider == CPU:
            return
        names = [given.name for given in session.get_inputs()]
        infos = dict(zip(names, session.get_input_memory_infos(), strict=True))
        for name, info in infos.items():
            if info.name == _HOST_NAME:
                continue
            self._makers[name], device = _reach(info)
            self.device = device or self.device

    def is_host(self, name: str) -> bool:
        """Whether the session reads this input where numpy's arrays are."""
        return name not in self._makers

    def new(self, name: str, shape: Sequence[int], dtype: str) -> ort.OrtValue:
        """A tensor for this input, where the session reads it; on the host if that is closed."""
        maker = self._makers.get(name) or ort.OrtValue.ortvalue_from_shape_and_type
        return maker(shape, np.dtype(dtype))

    def bind_array(self, binding: ort.IOBinding, name: str, array: Array) -> Step | None:
        """Binds an input that changes from run to run.

        Returns:
            What to do before every run, if anything.
        """
        if self.is_host(name):
            binding.bind_cpu_input(name, array)
            return None
        if self._makers[name] is None:
            return partial(binding.bind_cpu_input, name, array)
        tensor = self.new(name, array.shape, array.dtype.name)
        tensor.update_inplace(array)
        binding.bind_ortvalue_input(name, tensor)
        return partial(tensor.update_inplace, array)

    def bind_tensor(self, binding: ort.IOBinding, name: str, tensor: ort.OrtValue) -> Step | None:
        """Binds an input that `new` made, and that runs write to.

        Returns:
            What to do before every run, if anything.
        """
        bind = partial(binding.bind_ortvalue_input, name, tensor)
        bind()
        reached = self.is_host(name) or self._makers[name] is not None
        return None if reached else bind


def _reach(info: Any) -> tuple[NewTensor | None, tuple[str, int] | None]:
    """Makes tensors in this memory, None if there is no way; and the memory's device."""
    new = ort.OrtValue.ortvalue_from_shape_and_type
    if info.name in _BUILT_IN:
        device = (_BUILT_IN[info.name], int(info.device_id))
        maker: NewTensor = partial(_on_device, new, device)
    else:
        maker = partial(_in_memory, new, info)
    try:
        tried = maker((1,), np.dtype("float32"))
    except Exception:  # onnxruntime's exceptions share no base class
        return None, None
    return maker, (tried.device_name(), int(info.device_id))


def _on_device(
    new: Callable[..., ort.OrtValue], device: tuple[str, int], shape: Sequence[int], dtype: Any
) -> ort.OrtValue:
    return new(shape, dtype, *device)


def _in_memory(
    new: Callable[..., ort.OrtValue], info: Any, shape: Sequence[int], dtype: Any
) -> ort.OrtValue:
    return new(shape, dtype, memory_info=info)
