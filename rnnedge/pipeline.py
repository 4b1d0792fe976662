"""Export with proof: convert, verify, and write the file only if it holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from rnnedge import parity
from rnnedge.files import OutputError, write_whole
from rnnedge.parity import ParityReport
from rnnedge_exporters import convert
from rnnedge_exporters.convert import DEFAULT_OPSET
from rnnedge_runtime import Contract, Signal
from rnnedge_runtime.contract import Mode


@dataclass(frozen=True)
class ExportResult:
    """What an export gave.

    Attributes:
        path: the file, or None when the proof failed and it was not kept.
        contract: what the file promises, the proof included.
        parity: the proof; None when none was asked for.
    """

    path: Path | None
    contract: Contract
    parity: ParityReport | None

    @property
    def kept(self) -> bool:
        """Whether the file was written."""
        return self.path is not None


def export(
    module: nn.Module,
    path: str | os.PathLike[str],
    *,
    inputs: Mapping[str, str] | Sequence[str],
    states: Sequence[str] = (),
    mode: Mode = "stream",
    opset: int = DEFAULT_OPSET,
    one_frame: bool = False,
    verify: bool = True,
    keep_failed: bool = False,
    force: bool = False,
    signal: Signal | None = None,
    checkpoint_sha256: str | None = None,
) -> ExportResult:
    """Turns a module into an ONNX file, proves the two equal, and writes the file.

    Args:
        module: not changed; captured in evaluation mode.
        path: of the file to write.
        inputs: the data arguments of forward: ``{"x": "float32[batch, time, 80]"}``.
        states: what is not clear by itself of states that forward takes and returns:
            ``"hidden: float32[2, batch, 64] -> 1"``.
        mode: ``stream``, or ``sequence`` for whole sequences only.
        opset: of ONNX's default domain.
        one_frame: runs take one frame each, or as few as the module's rates allow; the file has the
            forms that are fastest then.
        verify: prove the file equal to the module, and store the proof in it.
        keep_failed: write the file even if the proof fails.
        force: replace a file that exists.
        signal: how frames relate to samples.
        checkpoint_sha256: of the file that the weights came from.

    Raises:
        RnnEdgeError: the module cannot be exported, or the file exists. A failed proof raises
            nothing: look at `ExportResult.parity`.
    """
    path = Path(path)
    if path.exists() and not force:
        raise OutputError(
            "the file exists already", where=str(path), fix="choose another name, or force=True"
        )
    converted = convert(
        module,
        inputs,
        states=states,
        mode=mode,
        opset=opset,
        one_frame=one_frame,
        signal=signal,
        checkpoint_sha256=checkpoint_sha256,
    )
    report = parity.verify(converted.to_bytes(), module, states=states) if verify else None
    evidence = None if report is None else report.to_dict()
    contract = replace(converted.contract, parity=evidence)
    if report is not None and not report.passed and not keep_failed:
        return ExportResult(None, contract, report)
    write_whole(path, converted.to_bytes(evidence))
    return ExportResult(path, contract, report)
