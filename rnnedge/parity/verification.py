"""Asks every question of DESIGN's proof and collects the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from rnnedge.parity.asking import Asking, SequenceTrials
from rnnedge.parity.explain import explain as explain_file
from rnnedge.parity.fitting import check_outputs, fitting
from rnnedge.parity.golden import Golden, promise_sha256, write_golden
from rnnedge.parity.options import Options
from rnnedge.parity.oracle import Oracle
from rnnedge.parity.report import ParityReport
from rnnedge.parity.signals import Signals
from rnnedge.parity.streams import StreamTrials
from rnnedge_exporters.capture import prepare
from rnnedge_exporters.errors import SourceError
from rnnedge_exporters.specs import parse_inputs
from rnnedge_runtime import Contract, Model, load
from rnnedge_runtime.providers import SessionRequest, count_nodes


def verify(
    file: str | PathLike[str] | bytes,
    module: nn.Module,
    *,
    states: Sequence[str] = (),
    provider: str = "cpu",
    provider_options: Mapping[str, str] | None = None,
    provider_library: str | PathLike[str] | None = None,
    threads: int = 1,
    seed: int = 0,
    chunks: Sequence[int | Sequence[int]] = (),
    batches: Sequence[int] = (),
    allowed_ratio: float | None = None,
    save_golden: str | PathLike[str] | None = None,
    explain: bool = False,
) -> ParityReport:
    """Compares a model file with the module that it came from.

    The yardstick is the module in float64; the file's error may be at most 4 times the error that
    the module itself makes in float32. The module is not changed.

    Args:
        file: the model file, or its bytes.
        module: judged in float32, as it was exported, if it is of another precision.
        states: what the export was told of states; read from the file when empty.
        provider: the execution provider to judge.
        provider_options: as for `load`.
        provider_library: as for `load`.
        threads: of one run.
        seed: of all random inputs, states and chunk lengths.
        chunks: lengths of pushes to try beside the random ones, in frames: ``160`` again and again,
            or a pattern ``(7, 0, 3)``.
        batches: batch sizes to try beside the verifier's own.
        allowed_ratio: another number than 4; the report tells it.
        save_golden: where to write what a device needs to ask the same without the module; a file
            that is there is replaced. Nothing is written if a check fails.
        explain: also compare tensor by tensor, and name the first that differs; takes about as long
            as an export without proof.

    Raises:
        MismatchError: the module is not the one that the file was made from.
        OptionError: `chunks`, `batches` or `allowed_ratio` make no sense, or not for this file.
        RnnEdgeError: the file cannot be loaded, or the golden file not be written.
    """
    options = Options.of(chunks, batches, allowed_ratio)
    model = load(
        file,
        provider=provider,
        threads=threads,
        provider_options=provider_options,
        provider_library=provider_library,
    )
    options.check_fit(model.contract)
    inputs = inputs_of(model.contract)
    states = states or model.contract.source.get("states", ())
    with fitting(module, model.contract):
        judge, call = prepare(module, parse_inputs(inputs), states, model.contract.mode)
        oracle = Oracle(judge, call, model.contract.states)
        check_outputs(module, model.contract, oracle.results)
        signals = Signals(
            model.contract, seed=seed, index_bound=oracle.index_bound, lengths=call.lengths
        )
        kind = StreamTrials if model.contract.mode == "stream" else SequenceTrials
        forward_states = {name for s in call.states for name in s.names}
        trials: Asking = kind(
            model, oracle, signals, forward_states, options, keep=save_golden is not None
        )
        checks = trials.run()
    report = ParityReport(
        checks=tuple(checks),
        tensors=tuple(ledger.result() for ledger in trials.ledgers.values()),
        provider=model.provider,
        provider_options=model.provider_options,
        assignment=count_nodes(model.assignment),
        allowed_ratio=options.allowed_ratio,
        settings=_settings(model, trials.settings, seed),
    )
    if save_golden is not None and report.passed:
        write_golden(Path(save_golden), _golden(trials, report))
    if not explain:
        return report
    explanation = explain_file(
        file,
        module,
        model.contract,
        inputs=inputs,
        states=states,
        request=SessionRequest(
            provider,
            threads,
            provider_options or {},
            provider_library=None if provider_library is None else str(provider_library),
        ),
        seed=seed,
        index_bound=oracle.index_bound,
    )
    return replace(report, explanation=explanation)


def _golden(trials: Asking, report: ParityReport) -> Golden:
    """What was asked, to be asked again where the module is not."""
    return Golden(
        model_sha256=trials.model.sha256,
        contract_sha256=promise_sha256(trials.contract),
        versions={
            "rnnedge": version("rnnedge"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        settings=trials.settings | {"seed": report.settings["seed"]},
        allowed_ratio=report.allowed_ratio,
        cases=tuple(trials.asked),
        own={name: ledger.own for name, ledger in trials.ledgers.items() if ledger.runs},
    )


def inputs_of(contract: Contract) -> dict[str, str]:
    """What the export was told of inputs, else what the contract's shapes say."""
    given = contract.source.get("inputs")
    if isinstance(given, dict) and given:
        return given
    if contract.mode == "sequence":
        raise SourceError(
            "the contract does not say how forward was called",
            where="contract, field 'source'",
            fix="export the model again with this release",
        )
    return {
        port.name: f"{port.dtype}[{', '.join(map(str, port.shape))}]" for port in contract.inputs
    }


def _settings(model: Model, trials: dict[str, Any], seed: int) -> dict[str, Any]:
    return {
        **trials,
        "seed": seed,
        "onnxruntime": onnxruntime.__version__,
        "model_sha256": model.sha256 if model.path is not None else None,
    }
