"""Tries the forms of a file and writes the fastest.

Rules:
    1. A form that differs by more than rounding is left out; one in fewer bits needs a budget, and
       has to keep it.
    2. All that are left are timed by turns in one process. The fastest is timed again beside the
       file as it is, alone: the fastest of many is partly the luckiest.
    3. What is not surely faster then is not taken; the next one is. If none is, the file stays as
       it is. With the module at hand, another graph has to be proven equal to it, too.
    4. The tuned file keeps what was measured, and where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from rnnedge.benchmark.peers.torch_module import Against
from rnnedge.benchmark.subject import Subject
from rnnedge.benchmark.timings import Timings
from rnnedge.benchmark.trials import Step, take_turns
from rnnedge.files import write_whole
from rnnedge.report.graph import read_in_one_piece
from rnnedge.report.machine import machine_facts, usable_cores
from rnnedge.tuning.forms import Form, forms, with_source
from rnnedge.tuning.judge import ROUNDING, Outputs, is_faster
from rnnedge.tuning.options import TuneOptions
from rnnedge.tuning.result import Tried, TuneReport
from rnnedge_runtime import Model, RnnEdgeError, load

_MOST_CONFIRMED = 3
_MACHINE = ("cpu", "cpu_features", "cpu_usable", "os", "packages")


@dataclass(frozen=True)
class _Ready:
    """A form that can be timed."""

    form: Form
    data: bytes
    model: Model


def tune(
    path: str | PathLike[str],
    output: str | PathLike[str],
    options: TuneOptions | None = None,
    *,
    against: Against | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> TuneReport:
    """Writes the fastest form of a file on this machine, with the evidence in its contract.

    Args:
        path: a streaming model file.
        output: the file to write; one that exists is replaced.
        options: how; ``TuneOptions(chunk=1, min_snr_db=40)``.
        against: the module that the file was made from. Then the form for one frame per run is
            tried, too, and an exact form is proven equal to the module before it is written.
        on_progress: told of what takes long.

    Raises:
        RnnEdgeError: the file cannot be loaded, or runs whole sequences only.
    """
    options = options or TuneOptions()
    original = load(Path(path))
    data = read_in_one_piece(Path(path))
    chunk = options.chunk or original.contract.chunk_multiple
    outputs = Outputs(original, data, options.seed)
    own = Form("as it is")
    ready = [_Ready(own, data, original)]
    tried = {own.name: Tried(own.name, worst=0.0, size_bytes=len(data))}
    for form in forms(options, original.contract, usable_cores(), against):
        on_progress(f"trying {form.name}")
        tried[form.name], one = _try(form, data, outputs, options)
        ready += [] if one is None else [one]
    on_progress(f"timing {len(ready)} forms")
    steps = {
        one.form.name: Subject(
            Path(path), one.model, chunk, options.batch, one.form.settings.get("threads", 1), 0
        ).step()
        for one in ready
    }
    times = take_turns(steps, seconds=options.seconds * 0.6)
    for name, timings in times.items():
        tried[name] = replace(tried[name], p50_us=timings.p50_us)
    chosen, speedup, proof = ready[0], 1.0, original.contract.parity
    hopeful = _hopeful(ready, times)
    for one in hopeful:
        on_progress(f"timing {one.form.name} beside the file as it is")
        again = _beside(ready[0], one, steps, options.seconds * 0.4 / len(hopeful))
        if again is None:
            continue
        is_proven, found = _proof(one, proof, against)
        if is_proven:
            chosen, speedup, proof = one, again, found
            break
        unproven = replace(tried[one.form.name], left_out="is not proven equal to the module")
        tried[one.form.name] = unproven
    facts = machine_facts()
    report = TuneReport(
        tried=tuple(tried.values()),
        chosen=chosen.form.name,
        speedup=speedup,
        chunk=chunk,
        batch=options.batch,
        machine={key: facts[key] for key in _MACHINE},
    )
    contract = chosen.model.contract
    source = {**contract.source, "tuned": report.to_dict()}
    contract = replace(contract, source=source, parity=proof)
    write_whole(Path(output), with_source(chosen.data, contract))
    return report


def _proof(
    form: _Ready, own: Mapping[str, Any] | None, against: Against | None
) -> tuple[bool, Mapping[str, Any] | None]:
    """Whether a form may be taken, and what is known of its equality with the module.

    The same graph keeps the proof of the file as it is, `own`. Fewer bits have a budget, no proof.
    """
    if form.form.make is None:
        return True, own
    if not form.form.is_exact or against is None:
        return True, None
    from rnnedge.parity import verify

    report = verify(form.data, against.module, states=against.states)
    return report.passed, report.to_dict()


def _try(
    form: Form, data: bytes, outputs: Outputs, options: TuneOptions
) -> tuple[Tried, _Ready | None]:
    tried = Tried(form.name, settings=form.settings)
    try:
        made = data if form.make is None else form.make(data)
        model = load(made, **form.settings)
    except RnnEdgeError as error:
        return replace(tried, left_out=error.what), None
    distance = outputs.distance(model)
    finite = distance.snr_db if distance.snr_db != float("inf") else None
    tried = replace(tried, worst=distance.worst, snr_db=finite, size_bytes=len(made))
    if form.is_exact and not distance.worst <= ROUNDING:
        return replace(tried, left_out=f"differs by {distance.worst:.1e} of the largest"), None
    budget = options.min_snr_db
    if not form.is_exact and budget is not None and distance.snr_db < budget:
        told = f"{distance.snr_db:.1f} dB, of {budget:g} that are asked for"
        return replace(tried, left_out=told), None
    return tried, _Ready(form, made, model)


def _hopeful(ready: list[_Ready], times: dict[str, Timings]) -> list[_Ready]:
    """The forms that are surely faster than the file as it is, the fastest first; few of them."""
    own = times[ready[0].form.name]
    faster = [one for one in ready[1:] if is_faster(times[one.form.name], own)]
    return sorted(faster, key=lambda one: times[one.form.name].p50_us)[:_MOST_CONFIRMED]


def _beside(own: _Ready, one: _Ready, steps: dict[str, Step], seconds: float) -> float | None:
    """How much faster a form is in a run of the two alone; None if it is not surely so."""
    names = own.form.name, one.form.name
    times = take_turns({name: steps[name] for name in names}, seconds=seconds)
    if not is_faster(times[names[1]], times[names[0]]):
        return None
    return times[names[0]].p50_us / times[names[1]].p50_us
