"""Alignment: which frame of the whole-sequence model is which that a run gives.

Emission j of an output, counted from a row's start, is frame j - delay of the whole-sequence
model's output. So the first `delay` emissions mean nothing, and the last frames come after the
signal has ended. Rows may have started at different times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np

from rnnedge_runtime.arrays import Array, shape_of
from rnnedge_runtime.contract import BATCH, TIME, Contract, Port, dim_factor


def is_plain(contract: Contract) -> bool:
    """Whether runs take any chunk, and give the whole-sequence model's own frames as they come."""
    return (
        contract.chunk_multiple == 1
        and contract.chunk_most is None
        and all(port.delay == 0 and not port.length for port in contract.outputs)
        and all(state.kind != "length" for state in contract.states)
    )


class Alignment:
    """Where each row of one stream is in its signal. `ran` is always the stream's frames run.

    Attributes:
        starts: how many frames the stream had run when the row began, one number per row.
        settled_at: after so many frames run, no output of any row is within its delay.
    """

    def __init__(self, contract: Contract, batch: int) -> None:
        self._contract = contract
        self._ports = [port for port in contract.outputs if port.time_axis is not None]
        self._lag = max((ceil(port.delay / port.ratio) for port in self._ports), default=0)
        self.starts = np.zeros(batch, np.int64)
        self.settled_at = self._lag

    def begin(self, rows: Sequence[int], ran: int) -> None:
        """Notes that rows begin a new signal."""
        starts = self.starts.copy()
        starts[list(rows)] = ran
        self.restore(starts.tolist())

    def restore(self, starts: Sequence[int]) -> None:
        """Takes over the rows' starts."""
        self.starts = np.array(starts, np.int64)
        self.settled_at = int(self.starts.max()) + self._lag if self._lag else 0

    def silence(self, outputs: Mapping[str, Array], ran: int) -> None:
        """Sets what precedes the signal to zero, in place.

        Args:
            outputs: of one run, by name.
            ran: before this run.
        """
        if ran >= self.settled_at:
            return
        for port in self._ports:
            early = [port.delay - int(run * port.ratio) for run in (ran - self.starts).tolist()]
            for row, frames in _by_row(port, early):
                outputs[port.name][_place(port, row, slice(0, max(frames, 0)))] = 0

    def frames_to_end(self, pushed: int, held: int) -> int:
        """How many frames have to run, the held ones first, until nothing is held back."""
        missing = (
            ceil(max(self._missing(port, pushed, pushed - held)) / port.ratio)
            for port in self._ports
        )
        multiple = self._contract.chunk_multiple
        return ceil(max(missing, default=0) / multiple) * multiple

    def cut(self, outputs: dict[str, Array], pushed: int, ran: int) -> None:
        """Ends what the last run of a signal gave where the whole-sequence model ends.

        Rows end together; only a signal shorter than a model's edges may not, and is filled up
        with zeros.
        """
        for port in self._ports:
            missing = self._missing(port, pushed, ran)
            array = outputs[port.name][_place(port, None, slice(0, max(missing)))]
            for row, frames in _by_row(port, missing):
                array[_place(port, row, slice(frames, None))] = 0
            outputs[port.name] = array

    def end_lengths(self, pushed: int) -> dict[str, Array]:
        """Values of the states of kind ``length`` at the end of the signal, by name."""
        values = {}
        for state in self._contract.states:
            if state.kind == "length":
                value = np.empty(shape_of(state, {BATCH: len(self.starts)}), np.int64)
                frames = pushed - self.starts
                if state.batch_axis is None:
                    value[...] = frames[0]
                else:
                    axes = [-1 if axis == state.batch_axis else 1 for axis in range(value.ndim)]
                    value[...] = frames.reshape(axes)
                values[state.name] = value
        return values

    def _missing(self, port: Port, pushed: int, ran: int) -> list[int]:
        """How many frames of an output are still to come, row by row."""
        return [
            max(port.length_of(pushed - start) + port.delay - int((ran - start) * port.ratio), 0)
            for start in self.starts.tolist()
        ]


def _by_row(port: Port, values: list[int]) -> list[tuple[int | None, int]]:
    """Row and value; one value for all rows, the largest, where an output has no rows."""
    if port.batch_axis is None:
        return [(None, max(values))]
    return list(enumerate(values))


def _place(port: Port, row: int | None, frames: slice) -> tuple[slice, ...]:
    """The entries of some frames, of one row or of all."""
    index = [slice(None)] * len(port.shape)
    assert port.time_axis is not None  # noqa: S101 - asked when the ports were chosen
    entries = dim_factor(port.shape[port.time_axis], TIME)
    stop = None if frames.stop is None else frames.stop * entries
    index[port.time_axis] = slice(frames.start * entries, stop)
    if row is not None and port.batch_axis is not None:
        factor = dim_factor(port.shape[port.batch_axis], BATCH)
        index[port.batch_axis] = slice(row * factor, (row + 1) * factor)
    return tuple(index)
