"""What sources and sinks know about the tensors they feed and take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from rnnedge_runtime.contract import TIME, Contract, Port, dim_factor
from rnnedge_runtime.errors import InputError

Arrays: TypeAlias = dict[str, np.ndarray]
"""Arrays by port name, in the graph's layout, batch axis included."""


@dataclass(frozen=True)
class Source:
    """Frames to come.

    Attributes:
        chunks: gives chunks of so many frames, the last one shorter; all in one if None.
        batch: streams side by side.
        has_batch_axis: whether the frames came with a batch axis; if not, results get none.
        sample_rate_hz: of a sound file.
    """

    chunks: Callable[[int | None], Iterator[Arrays]]
    batch: int
    has_batch_axis: bool
    sample_rate_hz: int | None = None


def only_input(contract: Contract, source: str) -> Port:
    """The model's one input.

    Raises:
        InputError: it has several, and `source` can feed one.
    """
    if len(contract.inputs) > 1:
        names = ", ".join(port.name for port in contract.inputs)
        raise InputError(
            f"the model has {len(contract.inputs)} inputs ({names}), this can feed only one",
            where=source,
            fix="give a .npz file with one array per input, written by np.savez",
        )
    return contract.inputs[0]


def is_samples(port: Port) -> bool:
    """Whether a frame of `port` is one sample: every axis but batch and time has size 1."""
    return port.time_axis is not None and all(
        dim == 1
        for axis, dim in enumerate(port.shape)
        if axis not in (port.batch_axis, port.time_axis)
    )


def entries_per_frame(port: Port) -> int:
    """How many entries of the time axis one frame takes: 512 for ``512*time``."""
    return 1 if port.time_axis is None else dim_factor(port.shape[port.time_axis], TIME)


def samples_to_port(samples: np.ndarray, port: Port) -> np.ndarray:
    """Lays ``[frames, channels]`` out as `port` wants it, each channel a row of the batch."""
    sizes = [1] * len(port.shape)
    sizes[port.time_axis or 0] = len(samples)
    if port.batch_axis is not None:
        sizes[port.batch_axis] = samples.shape[1]
    rows_first = port.batch_axis is not None and port.batch_axis < (port.time_axis or 0)
    return np.ascontiguousarray(samples.T if rows_first else samples).reshape(sizes)


def port_to_samples(array: np.ndarray, port: Port) -> np.ndarray:
    """Inverse of `samples_to_port`."""
    frames = array.shape[port.time_axis or 0]
    rows_first = port.batch_axis is not None and port.batch_axis < (port.time_axis or 0)
    return array.reshape(-1, frames).T if rows_first else array.reshape(frames, -1)
