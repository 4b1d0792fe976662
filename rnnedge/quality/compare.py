"""Two files of the same contract, streamed through the same data."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rnnedge.parity.signals import cut
from rnnedge.quality.data import Arrays, random_inputs
from rnnedge.quality.metric import Metric, MetricFunction, as_metric
from rnnedge.quality.result import TENTHS, OutputQuality, Quality
from rnnedge_runtime import Contract, InputError, Model, Port, RnnEdgeError
from rnnedge_runtime.contract import TIME, dim_factor

_MOST_PUSHES = 20_000


class CompareError(RnnEdgeError):
    """The two files cannot be compared."""


class Reference:
    """What the float file puts out, kept to compare several candidates with it."""

    def __init__(
        self,
        model: Model,
        inputs: Mapping[str, np.ndarray],
        *,
        name: str,
        metric: Metric | None = None,
        data: Mapping[str, np.ndarray] | None = None,
        chunk: int | None = None,
    ) -> None:
        """Runs the float file.

        Args:
            model: the float file.
            inputs: arrays by name, batch axis included.
            name: of the data, for reports.
            metric: the task's own measure.
            data: what the metric is given; the inputs if None.
            chunk: frames of a push; None for the fewest that the file can run.
        """
        self.model, self.inputs, self.name = model, inputs, name
        self.metric, self.data = metric, inputs if data is None else data
        self.frames, self.rows = _sizes(model.contract, inputs)
        self.chunk = chunk or _usual_chunk(model.contract, self.frames)
        whole, rest = divmod(self.frames, self.chunk)
        self._lengths = [self.chunk] * whole + ([rest] if rest else [])
        self.outputs = streamed(model, inputs, self.rows, self._lengths)

    def compare(self, candidate: Model) -> Quality:
        """The candidate beside the reference.

        Raises:
            CompareError: its inputs or outputs are others.
            MetricError: the metric fails.
        """
        _check_alike(self.model.contract, candidate.contract)
        found = streamed(candidate, self.inputs, self.rows, self._lengths)
        ports = candidate.contract.outputs
        outputs = tuple(
            output_quality(port, self.outputs[port.name], found[port.name]) for port in ports
        )
        drop: float | None = None
        numbers: dict[str, float] = {}
        if self.metric is not None:
            drop, numbers = self.metric(self.outputs, found, self.data)
        return Quality(
            outputs=outputs,
            data=self.name,
            rows=self.rows,
            frames=self.frames,
            chunk_frames=self.chunk,
            metric=None if self.metric is None else self.metric.name,
            numbers=numbers,
            drop=drop,
        )


def compare(
    candidate: Model,
    reference: Model,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    metric: Metric | MetricFunction | str | None = None,
    data: Mapping[str, np.ndarray] | None = None,
    name: str = "given",
    chunk: int | None = None,
    seed: int = 0,
) -> Quality:
    """Streams the same data through both files, and tells how far they are apart.

    Args:
        candidate: the quantised file.
        reference: the float file.
        inputs: arrays by input name, batch axis included; None for random signals.
        metric: the task's own measure: a function, or ``file.py:function``.
        data: what the metric is given beside the outputs; the inputs if None.
        name: of the data, for reports.
        chunk: frames of a push; None for the fewest that the files can run.
        seed: of random signals.

    Raises:
        CompareError: the files' inputs or outputs differ.
        MetricError: the metric fails.
        InputError: the inputs do not fit.
    """
    given: Mapping[str, np.ndarray]
    if inputs is None:
        given, name = random_signals(reference, seed)
    else:
        given = inputs
    told = Reference(reference, given, name=name, metric=as_metric(metric), data=data, chunk=chunk)
    return told.compare(candidate)


def whole_runs(
    contract: Contract, inputs: Mapping[str, np.ndarray], chunk: int | None
) -> list[dict[str, np.ndarray]]:
    """Inputs in runs that the contract allows, about `chunk` frames each; a rest is left out."""
    frames, _ = _sizes(contract, inputs)
    few = contract.chunk_multiple
    step = (chunk or _usual_chunk(contract, frames)) // few * few
    step = min(max(step, few), contract.chunk_most or max(step, few))
    return cut(inputs, contract, [step] * (frames // step))


def random_signals(model: Model, seed: int) -> tuple[Arrays, str]:
    """Random inputs for a file, and what reports call them."""
    path = model.path
    data = path.read_bytes() if path is not None else b""
    return random_inputs(data, model.contract, seed=seed), f"random signals, seed {seed}"


def streamed(
    model: Model, inputs: Mapping[str, np.ndarray], rows: int, lengths: list[int]
) -> Arrays:
    """All outputs, aligned with the signal and complete; `lengths` are the frames of the pushes."""
    ports = model.contract.outputs
    if model.contract.mode != "stream":
        return dict(model.run(dict(inputs)).outputs)
    stream = model.stream(rows)
    parts: dict[str, list[np.ndarray]] = {port.name: [] for port in ports}
    for piece in (*cut(inputs, model.contract, lengths), None):
        given = stream.flush() if piece is None else stream.push(piece)
        arrays = given if isinstance(given, dict) else {ports[0].name: given}
        for port in ports:
            parts[port.name].append(arrays[port.name])
    return {port.name: _joined(port, parts[port.name], sum(lengths)) for port in ports}


def _joined(port: Port, parts: list[np.ndarray], frames: int) -> np.ndarray:
    if port.time_axis is None:
        return parts[-1]
    whole = np.concatenate(parts, axis=port.time_axis)
    entries = dim_factor(port.shape[port.time_axis], TIME)
    first = port.delay * entries
    span = slice(first, first + port.length_of(frames) * entries)
    return whole[(*(slice(None),) * port.time_axis, span)]


def output_quality(port: Port, reference: np.ndarray, candidate: np.ndarray) -> OutputQuality:
    """One output beside the reference's; NaN in either is noise without a bound."""
    exact = reference.astype(np.float64)
    error = candidate.astype(np.float64) - exact
    signal, noise = _power(exact), _power(error)
    tenths = (
        np.array_split(error, TENTHS, axis=port.time_axis)
        if port.time_axis is not None
        else [error]
    )
    scale = math.sqrt(signal) or 1.0
    return OutputQuality(
        name=port.name,
        snr_db=_decibels(signal, noise),
        max_abs=float(np.abs(error).max(initial=0.0)),
        tenths=tuple(math.sqrt(_power(part)) / scale for part in tenths),
    )


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal and math.isfinite(noise) else -math.inf


def _power(values: np.ndarray) -> float:
    return float(np.square(values).mean()) if values.size else 0.0


def _sizes(contract: Contract, inputs: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Frames and rows of the inputs."""
    frames, rows = 0, 1
    for port in contract.inputs:
        if port.name not in inputs:
            raise InputError(
                f"there is no array for the input {port.name!r}, only for {', '.join(inputs)}",
                where="the data",
                fix="save one array per input, under the input's name",
            )
        shape = inputs[port.name].shape
        if port.time_axis is not None:
            frames = shape[port.time_axis] // dim_factor(port.shape[port.time_axis], TIME)
        if port.batch_axis is not None:
            rows = shape[port.batch_axis]
    return frames, rows


def _usual_chunk(contract: Contract, frames: int) -> int:
    """The fewest frames of a run; more where that would be too many pushes."""
    few = contract.chunk_multiple
    return few * -(-frames // (few * _MOST_PUSHES)) if frames else few


def _check_alike(reference: Contract, candidate: Contract) -> None:
    for role in ("inputs", "outputs"):
        ours, theirs = getattr(reference, role), getattr(candidate, role)
        if ours != theirs:
            raise CompareError(
                f"the files have different {role}: {_names(ours)} and {_names(theirs)}",
                where="the two contracts",
                fix="compare a quantised file with the float file that it was made from",
            )


def _names(ports: tuple[Port, ...]) -> str:
    return ", ".join(f"{port.name} {list(port.shape)}" for port in ports)
