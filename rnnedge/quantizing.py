"""Quantise with evidence: shrink, measure what was lost and gained, and write the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rnnedge.benchmark.memory import state_bytes
from rnnedge.files import OutputError, write_whole
from rnnedge.quality import Budget, Metric, Quality, as_metric
from rnnedge.quality.compare import Reference, random_signals, whole_runs
from rnnedge.quality.metric import MetricFunction
from rnnedge.quality.search import Sensitivity, keep_within, rank
from rnnedge.quality.speed import Speed, measure_speed
from rnnedge.report.graph import read_in_one_piece
from rnnedge_exporters.errors import QuantizeError
from rnnedge_exporters.quantize import (
    Form,
    Kind,
    Layer,
    Quantized,
    QuantizeOptions,
    States,
    calibrate,
    one_frame_layers,
    quantize_model,
)
from rnnedge_runtime import Contract, load

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class QuantizeResult:
    """What a quantisation gave.

    Attributes:
        path: the file, or None when the budget did not hold and it was not kept.
        kind: how weights are stored.
        contract: what the file promises.
        layers: all that have weights, and why some stay in float.
        float_bytes: size of the float file.
        bytes: size of the new one.
        float_state_bytes: of one row's states in the float file.
        state_bytes: of one row's states in the new one.
        quality: what was lost.
        speed: what was gained; None if that was not measured.
        sensitivity: of each layer alone, the worst first; None if that was not measured.
        broken: what of the budget does not hold, in words.
    """

    path: Path | None
    kind: Kind
    contract: Contract
    layers: tuple[Layer, ...]
    float_bytes: int
    bytes: int
    float_state_bytes: int
    state_bytes: int
    quality: Quality
    speed: Speed | None
    sensitivity: tuple[Sensitivity, ...] | None
    broken: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the budget holds; without one it does."""
        return not self.broken


def quantize(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    kind: Kind | None = None,
    form: Form = "auto",
    block: int = 32,
    compute_from: int | None = None,
    integer_convolutions: bool = False,
    keep: Sequence[str] = (),
    states: States = "float",
    calibration: Arrays | None = None,
    inputs: Arrays | None = None,
    data: Arrays | None = None,
    data_name: str = "given",
    metric: Metric | MetricFunction | str | None = None,
    max_drop: float | None = None,
    min_snr_db: float | None = None,
    sensitivity: bool = False,
    chunk: int | None = None,
    seed: int = 0,
    seconds: float = 1.0,
    force: bool = False,
    on_progress: Callable[[str], None] = lambda text: None,
) -> QuantizeResult:
    """Stores a file's weights in fewer bits, measures what that costs, and writes the new file.

    Args:
        path: of a float file with a contract.
        output: of the file to write.
        kind: ``int8``, ``static``, ``weights8``, ``weights4`` or ``float16``; see
            `QuantizeOptions`. None for ``static`` with calibration, unless states in ``int8`` have
            asked for that; else ``int8``.
        form: of recurrent layers: ``auto``, ``step`` or ``chunks``.
        block: inputs that share a step in the weight-only kinds.
        compute_from: layers with fewer weights are computed in float; None for what is faster.
        integer_convolutions: compute convolutions in integers without calibration, too.
        keep: names of layers that stay in float.
        states: how states are kept between runs: ``float``, ``float16``, or ``int8``.
        calibration: inputs for ``static`` and for states in ``int8``, by name, batch axis included.
        inputs: what quality is measured on; None for the calibration, or else random signals.
        data: what the metric is given beside the outputs; None for the inputs.
        data_name: what reports call the inputs.
        metric: the task's own measure: a function, or ``file.py:function``.
        max_drop: budget: the metric may give so much at most. If a budget does not hold, layers are
            measured one by one, and the worst computed in float until it does; if it never does,
            no file is written.
        min_snr_db: budget: signal to noise of every output at least.
        sensitivity: measure the layers one by one in any case.
        chunk: frames of a push while quality is measured; None for the fewest.
        seed: of random signals.
        seconds: about how long to measure speed; 0 not to.
        force: replace a file that exists.
        on_progress: is told what is being done.

    Raises:
        RnnEdgeError: the file cannot be quantised so, the data do not fit, the metric fails, or the
            output exists. A budget that does not hold raises nothing: see `QuantizeResult.passed`.
    """
    path, output = Path(path), Path(output)
    if output.exists() and not force:
        raise OutputError(
            "the file exists already", where=str(output), fix="choose another name, or force=True"
        )
    is_static = calibration is not None and states != "int8"
    kind = kind or ("static" if is_static else "int8")
    _check_calibration(kind, states, calibration)
    model, source = load(path), read_in_one_piece(path)
    options = QuantizeOptions(
        kind=kind,
        form=form,
        block=block,
        compute_from=compute_from,
        integer_convolutions=integer_convolutions,
        keep=dict.fromkeys(keep, "asked for"),
        states=states,
    )
    if calibration is not None:
        on_progress("calibrating")
        runs = whole_runs(model.contract, calibration, chunk)
        seen = calibrate(source, runs)
        static = seen.ranges if kind == "static" else {}
        options = replace(options, ranges=static, state_sizes=seen.states)
        if inputs is None:
            inputs, data_name = calibration, f"{data_name}, used for calibration, too"
    if inputs is None:
        inputs, data_name = random_signals(model, seed)
    reference = Reference(
        model, inputs, name=data_name, metric=as_metric(metric), data=data, chunk=chunk
    )
    budget = Budget(max_drop, min_snr_db)
    trial = _Trial(source, model.sha256, options, reference, on_progress)
    quantized, quality, ranked = trial.choose(budget, sensitivity=sensitivity)
    broken = [*budget.broken_by(quality), *trial.broken_by_states]
    content = quantized.to_bytes(quality.to_dict())
    speed = None
    if seconds > 0:
        on_progress("timing")
        speed = measure_speed(model, load(content), inputs, seconds=seconds)
    if not broken:
        write_whole(output, content)
    return QuantizeResult(
        path=None if broken else output,
        kind=kind,
        contract=quantized.contract,
        layers=quantized.layers,
        float_bytes=len(source),
        bytes=len(content),
        float_state_bytes=state_bytes(model.contract, 1),
        state_bytes=state_bytes(quantized.contract, 1),
        quality=quality,
        speed=speed,
        sensitivity=ranked,
        broken=tuple(broken),
    )


def _check_calibration(kind: Kind, states: States, calibration: Arrays | None) -> None:
    if (kind == "static" or states == "int8") == (calibration is not None):
        return
    asked = f"kind {kind!r}" if states == "float" else f"kind {kind!r} with states in {states}"
    raise QuantizeError(
        f"{asked} {'needs' if calibration is None else 'has no use for'} calibration",
        where="calibration",
        fix="give typical inputs with kind 'static' or states in int8, and none otherwise",
    )


class _Trial:
    """Quantises in some choice of layers and measures."""

    def __init__(
        self,
        source: bytes,
        sha256: str,
        options: QuantizeOptions,
        reference: Reference,
        on_progress: Callable[[str], None],
    ) -> None:
        self._options = options
        self._source = source
        self._one_frame = one_frame_layers(source)
        self._sha256 = sha256
        self._reference = reference
        self._say = on_progress
        self.broken_by_states: list[str] = []

    def choose(
        self, budget: Budget, *, sensitivity: bool
    ) -> tuple[Quantized, Quality, tuple[Sensitivity, ...] | None]:
        """All layers, or all but the worst if the budget wants that, and layers one by one."""
        quantized, quality = self._of(self._options)
        broken = budget.broken_by(quality)
        if not broken and not sensitivity:
            return quantized, quality, None
        if broken and self._is_broken_by_states(quantized, budget):
            return quantized, quality, None
        layers = [(layer.name, layer.operator) for layer in quantized.layers if not layer.is_float]
        self._say(f"measuring {len(layers)} layers one by one")
        ranked = rank(layers, self._only)
        kept = None
        if broken:
            self._say(f"budget broken: {'; '.join(broken)}; looking for layers to keep")
            kept = keep_within(budget, ranked, self._only)
        if kept is not None:
            quantized, quality = self._without(kept, budget)
        return quantized, quality, tuple(ranked)

    def _is_broken_by_states(self, quantized: Quantized, budget: Budget) -> bool:
        """Whether states alone, all layers in float, break it: then no layer helps."""
        kind = self._options.states
        if kind == "float":
            return False
        keep = {layer.name: "to measure the states alone" for layer in quantized.layers}
        alone = budget.broken_by(self._of(replace(self._options, keep=keep))[1])
        self.broken_by_states = [f"states in {kind} alone: {reason}" for reason in alone]
        return bool(alone)

    def _without(self, kept: tuple[str, ...], budget: Budget) -> tuple[Quantized, Quality]:
        """With these layers computed in float, as few of the worst as need be stored in it, too."""
        for count in range(len(kept) + 1):
            in_float = dict.fromkeys(kept[:count], "for the budget")
            eased = dict.fromkeys(kept[count:], "for the budget")
            keep = {**self._options.keep, **in_float}
            found = self._of(replace(self._options, keep=keep, ease=eased))
            if not budget.broken_by(found[1]):
                break
        return found

    def _only(self, names: frozenset[str]) -> Quality:
        """With these layers quantised, and no others."""
        return self._of(replace(self._options, only=names))[1]

    def _of(self, options: QuantizeOptions) -> tuple[Quantized, Quality]:
        quantized = quantize_model(
            self._source, options, sha256=self._sha256, one_frame=self._one_frame
        )
        return quantized, self._reference.compare(load(quantized.to_bytes()))
