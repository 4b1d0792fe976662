"""The proof again, from a golden file: on a device that has no module, no torch and no onnx."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from rnnedge.parity.cases import Case, Restart
from rnnedge.parity.golden import Golden, GoldenError, damaged, promise_sha256, read_golden
from rnnedge.parity.options import Options
from rnnedge.parity.report import Check, ParityReport
from rnnedge.parity.trials import Trials
from rnnedge_runtime import Contract, Model, load
from rnnedge_runtime.arrays import Array, measure
from rnnedge_runtime.contract import BATCH, TIME
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.providers import count_nodes
from rnnedge_runtime.states import measure_states


def verify_golden(
    file: str | PathLike[str] | bytes,
    golden: str | PathLike[str],
    *,
    provider: str = "cpu",
    provider_options: Mapping[str, str] | None = None,
    provider_library: str | PathLike[str] | None = None,
    threads: int = 1,
    allowed_ratio: float | None = None,
) -> ParityReport:
    """Compares a model file with what its module gave, as a golden file has it.

    Asks what `verify` asked when the golden file was written, with the same signals and the same
    yardstick: expected is float64, allowed 4 times PyTorch's own float32 error on the host.

    Args:
        file: the model file, or its bytes.
        golden: what ``verify(..., save_golden=...)`` wrote for this very file.
        provider: the execution provider to judge.
        provider_options: as for `load`.
        provider_library: as for `load`.
        threads: of one run.
        allowed_ratio: another number than 4, whatever the host's was; the report tells it.

    Raises:
        GoldenError: the golden file is missing, damaged, or of another model.
        RnnEdgeError: the model file cannot be loaded, or the ratio is not a positive number.
    """
    options = Options.of((), (), allowed_ratio)
    path = Path(golden)
    kept = read_golden(path)
    model = load(
        file,
        provider=provider,
        threads=threads,
        provider_options=provider_options,
        provider_library=provider_library,
    )
    _check_model(kept, model, path)
    for case in kept.cases:
        _check_case(case, model, path)
    _check_errors(kept, model, path)
    trials = Trials(model, ratio=options.allowed_ratio, own=kept.own)
    for case in kept.cases:
        trials.ask(case)
    return ParityReport(
        checks=tuple(_checks(trials, kept)),
        tensors=tuple(ledger.result() for ledger in trials.ledgers.values()),
        provider=model.provider,
        provider_options=model.provider_options,
        assignment=count_nodes(model.assignment),
        allowed_ratio=options.allowed_ratio,
        settings={**kept.settings, **_settings(model, kept, path)},
    )


def _checks(trials: Trials, golden: Golden) -> Iterator[Check]:
    """The answers, in the order in which the host asked."""
    for name in dict.fromkeys(case.check for case in golden.cases):
        yield trials.judge(name)
    streamed = [case for case in golden.cases if case.lengths and not case.restart]
    if trials.contract.states and streamed:
        case = max(streamed, key=lambda case: case.batch)
        others = (c for c in streamed if _is_alike(c, case) and c.inputs is not case.inputs)
        before = next(others, case)
        yield trials.replay(case.batch, case.inputs, before.inputs, case.lengths or ())
    yield _seen(trials, golden)


def _is_alike(a: Case, b: Case) -> bool:
    """Whether the inputs of one could be those of the other."""
    return all(a.inputs[name].shape == value.shape for name, value in b.inputs.items())


def _seen(trials: Trials, golden: Golden) -> Check:
    """Every output, and every state that the host compared, has to be compared."""
    contract, ledgers = trials.contract, trials.ledgers
    wanted = dict.fromkeys([*(port.name for port in contract.outputs), *golden.own])
    missed = [name for name in wanted if not ledgers[name].runs]
    states = [state.name for state in contract.states]
    without = [name for name in states if not ledgers[name].runs and name not in missed]
    detail = f"{sum(ledgers[name].runs > 0 for name in states)} of {len(states)} states compared"
    notes = {"judged by the outputs alone": without, "never compared": missed}
    detail += "".join(f"; {note}: {', '.join(names)}" for note, names in notes.items() if names)
    return Check("all compared", passed=not missed, detail=detail)


def _settings(model: Model, golden: Golden, path: Path) -> dict[str, Any]:
    return {
        "onnxruntime": onnxruntime.__version__,
        "model_sha256": model.sha256,
        "golden": {
            "path": str(path),
            "versions": dict(golden.versions),
            "allowed_ratio": golden.allowed_ratio,
        },
    }


def _check_model(golden: Golden, model: Model, path: Path) -> None:
    if golden.model_sha256 == model.sha256:
        return
    same = promise_sha256(model.contract) == golden.contract_sha256
    differs = "weights or graph are others" if same else "it takes or gives other tensors, too"
    raise GoldenError(
        f"the golden file is of another model, sha256 {golden.model_sha256[:12]}…; this one is "
        f"{model.sha256[:12]}…, and {differs}",
        where=str(path),
        fix="give the very file that it was made with, or make a golden file of this one: "
        "rnnedge verify MODEL.onnx --against ... --save-golden",
    )


def _check_case(case: Case, model: Model, path: Path) -> None:
    """What a file that was written by `write_golden`, for this model, cannot have wrong."""
    contract = model.contract
    try:
        sizes = measure(contract.inputs, case.inputs, {})
        measure_states(contract.states, case.start, {BATCH: case.batch})
    except (InputError, KeyError) as error:
        raise damaged(path, f"what it feeds does not fit the model ({error})") from error
    restart = case.restart
    frames = sizes.get(TIME, 0)
    pushed = frames if case.lengths is None else sum(case.lengths)
    pushed += 0 if restart is None else restart.frames
    fits = (
        case.inputs.keys() == {port.name for port in contract.inputs}
        and sizes.get(BATCH, case.batch) == case.batch
        and pushed == frames
        and (case.lengths is None or contract.mode == "stream")
        and (restart is None or _is_restart(case, restart, contract))
        and case.truth.outputs.keys() <= {port.name for port in contract.outputs}
        and case.truth.states.keys() <= {state.name for state in contract.states}
    )
    if not fits:
        raise damaged(path, f"a case of {case.check!r} does not fit the model")


def _is_restart(case: Case, restart: Restart, contract: Contract) -> bool:
    """Whether one row can start again, and both truths have all outputs that have rows."""
    names = {port.name for port in contract.outputs if port.batch_axis is not None}
    has_all = names <= case.truth.outputs.keys() & restart.truth.outputs.keys()
    return case.lengths is not None and restart.row < case.batch and has_all


def _check_errors(golden: Golden, model: Model, path: Path) -> None:
    shapes = {port.name: port.shape for port in model.contract.outputs}
    shapes |= {state.name: state.shape for state in model.contract.states}
    for name, errors in golden.own.items():
        channels = tuple(dim for dim in shapes.get(name, ()) if isinstance(dim, int))
        if name not in shapes or errors.shape not in ((), channels) or not _are_errors(errors):
            raise damaged(path, f"PyTorch's errors of {name!r} are none")


def _are_errors(values: Array) -> bool:
    return values.dtype.kind == "f" and bool(np.isfinite(values).all() and (values >= 0).all())
