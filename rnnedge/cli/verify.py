"""`rnnedge verify`: is the ONNX file the same function as the PyTorch module?

With a golden file, which holds what the module gave, it is asked where there is no torch.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, Unpack

import typer

from rnnedge.cli import _output
from rnnedge.cli._compare import compare_files
from rnnedge.cli._options import (
    ArgumentOption,
    JsonFlag,
    MaxDropOption,
    MetricOption,
    MinSnrOption,
    ModelArgument,
    ProviderLibraryOption,
    ProviderOption,
    ProviderSettingsOption,
    StatesOption,
    ThreadsOption,
    WeightsKeyOption,
    WeightsOption,
    provider_settings,
)
from rnnedge.cli._output import STANDARD_STREAM, ExitCode
from rnnedge.cli._source import load_source

if TYPE_CHECKING:
    from rnnedge.parity import ParityReport


def verify(
    file: ModelArgument,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="What makes the PyTorch module: model.py:make_model or package.module:Class; for "
            "a quantised file, the float file model.onnx.",
        ),
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="In place of the module: what it gave, from --save-golden; needs no torch.",
        ),
    ] = None,
    arg: ArgumentOption = None,
    weights: WeightsOption = None,
    weights_key: WeightsKeyOption = None,
    state: StatesOption = None,
    chunk: Annotated[
        list[int] | None,
        typer.Option(
            "--chunk",
            metavar="N",
            min=1,
            help="Pushes of N frames are tried, too, beside single frames and random chunks; "
            "repeatable.",
        ),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch", metavar="N", min=1, help="A batch of N rows is tried, too; repeatable."
        ),
    ] = None,
    allowed_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            help="How many times PyTorch's own float32 error is allowed (default: 4). The report "
            "tells it.",
            show_default=False,
        ),
    ] = None,
    provider: ProviderOption = "cpu",
    provider_option: ProviderSettingsOption = None,
    provider_library: ProviderLibraryOption = None,
    threads: ThreadsOption = 1,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="Seed of the random numbers (default: 0)."),
    ] = None,
    save_golden: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write inputs and what the module gives for them: for --golden on a device.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a golden file that exists.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Compare tensor by tensor, and name the first that differs and its module.",
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Against a float file: what both run on, .npz, .npy or sound (default: random "
            "signals).",
            show_default=False,
        ),
    ] = None,
    metric: MetricOption = None,
    max_drop: MaxDropOption = None,
    min_snr_db: MinSnrOption = None,
    json: JsonFlag = False,
) -> None:
    """Prove that an ONNX file equals a PyTorch module.

    Give the module with --against, or what it gave with --golden. A quantised file is not the same
    function any more: --against FLOAT.onnx tells how far it is from the float file.
    """
    of_files = {
        "--data": data, "--metric": metric, "--max-drop": max_drop, "--min-snr-db": min_snr_db,
    }  # fmt: skip
    if against is not None and against.lower().endswith(".onnx") and golden is None:
        of_proof = {
            "--arg": arg, "--weights": weights, "--weights-key": weights_key, "--state": state,
            "--batch": batch, "--allowed-ratio": allowed_ratio, "--save-golden": save_golden,
            "--explain": explain or None,
        }  # fmt: skip
        _refuse(of_proof, "--against FLOAT.onnx")
        if chunk is not None and len(chunk) > 1:
            raise typer.BadParameter("--against FLOAT.onnx takes one --chunk")
        compare_files(
            file,
            Path(against),
            data,
            metric,
            (max_drop, min_snr_db),
            chunk=chunk[0] if chunk else None,
            seed=seed or 0,
            json=json,
            provider=provider,
            provider_options=provider_settings(provider_option),
            provider_library=provider_library,
            threads=threads,
        )
        return
    _refuse(of_files, "a proof against a module")
    if (against is None) == (golden is None):
        raise typer.BadParameter("give either --against MODEL or --golden FILE")
    chosen: _Chosen = {
        "provider": provider,
        "provider_options": provider_settings(provider_option),
        "provider_library": provider_library,
        "threads": threads,
        "allowed_ratio": allowed_ratio,
    }
    if golden is not None:
        of_module = {
            "--arg": arg, "--weights": weights, "--weights-key": weights_key, "--state": state,
            "--chunk": chunk, "--batch": batch, "--seed": seed, "--save-golden": save_golden,
            "--force": force or None, "--explain": explain or None,
        }  # fmt: skip
        _refuse(of_module, "--golden")
        _verify_golden(file, golden, json=json, **chosen)
        return
    if save_golden is not None:
        _check_save(save_golden, force=force)

    from rnnedge import verify as verify_file
    from rnnedge.report.parity import ParitySummary

    module, _ = load_source(str(against), arg, weights, weights_key)
    report = verify_file(
        file,
        module,
        states=state or (),
        seed=seed or 0,
        chunks=chunk or (),
        batches=batch or (),
        save_golden=save_golden,
        explain=explain,
        **chosen,
    )
    saved = save_golden if report.passed else None
    _output.emit(ParitySummary(report, saved), json=json)
    if report.passed:
        _hint_next(file, saved)
        return
    if save_golden is not None:
        _output.say(f"{save_golden} was not written: the file is not the module's function")
    _warn_of_precision(report)
    _warn_of_quantized(file)
    if weights is None:
        _output.warn(
            "MODEL was made without --weights: are its numbers those that were exported?",
            fix="give the checkpoint that was exported, or a factory that loads it",
        )
    if not explain:
        again = [word for text in arg or () for word in ("--arg", text)]
        again += [] if weights is None else ["--weights", str(weights)]
        again += [] if weights_key is None else ["--weights-key", weights_key]
        again += [] if provider == "cpu" else ["--provider", provider]
        again += [word for text in provider_option or () for word in ("--provider-option", text)]
        again += [] if provider_library is None else ["--provider-library", str(provider_library)]
        _output.hint("rnnedge", "verify", file, "--against", str(against), *again, "--explain")
    raise typer.Exit(ExitCode.CHECK_FAILED)


def _refuse(options: Mapping[str, object], what: str) -> None:
    """Refuses options that were given and would be ignored."""
    if given := [name for name, value in options.items() if value is not None]:
        raise typer.BadParameter(f"{what} has no use for {', '.join(given)}")


class _Chosen(TypedDict):
    """What is said of the run, whatever the file is compared with."""

    provider: str
    provider_options: dict[str, str]
    provider_library: Path | None
    threads: int
    allowed_ratio: float | None


def _verify_golden(file: Path, golden: Path, *, json: bool, **chosen: Unpack[_Chosen]) -> None:
    from rnnedge import verify_golden
    from rnnedge.report.parity import ParitySummary

    report = verify_golden(file, golden, **chosen)
    _output.emit(ParitySummary(report), json=json)
    if not report.passed:
        _warn_of_precision(report)
        raise typer.Exit(ExitCode.CHECK_FAILED)
    _hint_next(file, None)


def _warn_of_precision(report: ParityReport) -> None:
    if not report.missing_precision:
        return
    words = [f"{key}={value}" for key, value in report.missing_precision.items()]
    options = " ".join(f"--provider-option {shlex.quote(word)}" for word in words)
    _output.warn(report.precision, fix=f"ask for float32: {options}")


def _warn_of_quantized(file: Path) -> None:
    from rnnedge_runtime import load

    if "quantized" in load(file).contract.source:
        _output.warn(
            "the file is quantised: it is another function than the module, on purpose",
            fix="ask how far it is from the float file: --against FLOAT.onnx",
        )


def _hint_next(file: Path, saved: Path | None) -> None:
    if saved is None:
        _output.hint("rnnedge", "run", file, "INPUT.npy", "--output", "OUTPUT.npy")
    else:
        _output.hint("rnnedge", "verify", file, "--golden", saved)


def _check_save(path: Path, *, force: bool) -> None:
    if path == STANDARD_STREAM:
        raise typer.BadParameter("a golden file cannot go to stdout", param_hint="--save-golden")
    _output.check_overwrite(path, force=force, option="--save-golden")
