"""Bindings: onnxruntime's runs on buffers that stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import onnxruntime as ort

from rnnedge_runtime.arrays import Array

Run: TypeAlias = Callable[[], Any]


def bound_run(
    session: ort.InferenceSession,
    inputs: Mapping[str, Array | ort.OrtValue],
    outputs: Mapping[str, Array | ort.OrtValue],
    *,
    copies_at_bind: bool,
) -> Run:
    """A run that reads and writes the same buffers whenever it is called.

    Args:
        session: what runs.
        inputs: contiguous host arrays, or tensors on a device, by name. The caller keeps them.
        outputs: as `inputs`.
        copies_at_bind: onnxruntime copies an input to the memory of the provider that reads it
            when the input is bound, and never again. So on all providers but the CPU's inputs are
            bound anew for every run.
    """
    binding = session.io_binding()

    def bind_inputs() -> None:
        for name, value in inputs.items():
            if isinstance(value, ort.OrtValue):
                binding.bind_ortvalue_input(name, value)
            else:
                binding.bind_cpu_input(name, value)

    bind_inputs()
    for name, value in outputs.items():
        if isinstance(value, ort.OrtValue):
            binding.bind_ortvalue_output(name, value)
        else:
            pointer = value.ctypes.data
            binding.bind_output(name, "cpu", 0, value.dtype, value.shape, pointer)
    run = _direct_call(session, binding)
    return _after(bind_inputs, run) if copies_at_bind else run


def _after(first: Callable[[], None], then: Run) -> Run:
    def both() -> Any:
        first()
        return then()

    return both


def _direct_call(session: ort.InferenceSession, binding: ort.IOBinding) -> Run:
    """``session.run_with_iobinding(binding)``, without its Python wrapper where that is known.

    The wrapper only looks after graph capture on WebGPU, and costs 0.3 µs in every push.
    """
    inner = getattr(session, "_sess", None)
    bound = getattr(binding, "_iobinding", None)
    if inner is None or bound is None or not hasattr(inner, "run_with_iobinding"):
        return partial(session.run_with_iobinding, binding)
    return partial(inner.run_with_iobinding, bound, None)
