"""The proof as an assertion, with what a test's reader needs to know of a failure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from torch import nn

    from rnnedge.parity import Check, ParityReport
    from rnnedge_runtime.contract import Mode


class ParityError(AssertionError):
    """The file and the module are not the same function.

    Attributes:
        reports: what was found, by provider in the order asked; empty where the file is of other
            inputs or of another mode than the test says.
    """

    def __init__(self, message: str, reports: tuple[ParityReport, ...] = ()) -> None:
        super().__init__(message)
        self.reports = reports


def assert_parity(
    module: nn.Module,
    *,
    inputs: Mapping[str, str] | Sequence[str] | None = None,
    file: str | PathLike[str] | bytes | None = None,
    states: Sequence[str] = (),
    mode: Mode | None = None,
    chunks: Sequence[int | Sequence[int]] = (),
    batches: Sequence[int] = (),
    providers: Sequence[str] = ("cpu",),
    provider_options: Mapping[str, Mapping[str, str]] | None = None,
    threads: int = 1,
    allowed_ratio: float | None = None,
    seed: int = 0,
    explain: bool = False,
) -> tuple[ParityReport, ...]:
    """Asserts that the ONNX file of a module is the same function as the module.

    Without `file` the module is exported in memory; nothing is written. What is asked is what
    `rnnedge.verify` asks; options add to it.

    Args:
        module: the PyTorch module, in any mode and precision; not changed.
        inputs: as for `rnnedge.export`: ``{"x": "float32[batch, time, 80]"}``. With `file` they
            may be left out; given, they have to be those that it was exported with.
        file: a model file to judge in place of a fresh export.
        states: what is to be said of states that forward takes and returns.
        mode: ``stream`` or ``sequence``; ``stream`` if left out, or what `file` has.
        chunks: lengths of pushes to try beside single frames and random ones, in frames: ``160``
            again and again, or a pattern ``(7, 0, 3)``.
        batches: batch sizes to try beside the verifier's own.
        providers: execution providers, each judged.
        provider_options: by provider, as `providers` names it.
        threads: of one run.
        allowed_ratio: how many times PyTorch's own float32 error is allowed; the verifier's own, 4,
            if left out. The report tells any other.
        seed: of all random inputs, states and chunk lengths.
        explain: on failure, compare tensor by tensor and name the first that differs.

    Returns:
        The reports, by provider.

    Raises:
        ParityError: a check failed, or the file is not what `inputs` and `mode` say.
        RnnEdgeError: the module cannot be exported, is not what the file was made from, an option
            makes no sense, a provider is absent, or torch is not installed.
    """
    __tracebackhide__ = True
    require_exporters("assert_parity")
    names = _providers(providers, provider_options or {})
    data, judged = _file(module, file, inputs, states, mode)
    from rnnedge import verify

    def ask(provider: str, *, explain: bool = False) -> ParityReport:
        return verify(
            data,
            module,
            states=states,
            provider=provider,
            provider_options=(provider_options or {}).get(provider),
            threads=threads,
            seed=seed,
            chunks=chunks,
            batches=batches,
            allowed_ratio=allowed_ratio,
            explain=explain,
        )

    reports = tuple(map(ask, names))
    if explain:
        pairs = zip(names, reports, strict=True)
        reports = tuple(r if r.passed else ask(name, explain=True) for name, r in pairs)
    if failed := [report for report in reports if not report.passed]:
        text = "\n\n".join(_told(report, judged, module) for report in failed)
        raise ParityError(text, reports)
    return reports


def require_exporters(where: str) -> None:
    """Refuses to go on where they are not installed.

    Raises:
        RnnEdgeError: says what to install.
    """
    __tracebackhide__ = True
    import rnnedge
    from rnnedge_runtime.errors import RnnEdgeError

    try:
        _ = rnnedge.verify
    except RnnEdgeError as error:
        # The way to it is of no use to a test's reader.
        raise RnnEdgeError(error.what, where=where, fix=error.fix) from None


def _providers(providers: Sequence[str], options: Mapping[str, object]) -> tuple[str, ...]:
    from rnnedge.parity.options import OptionError

    names = (providers,) if isinstance(providers, str) else tuple(providers)
    if not names:
        raise OptionError(
            "no provider is named, so nothing would be judged",
            where="providers",
            fix='leave it out, or name one: providers=["cpu"]',
        )
    if idle := [name for name in options if name not in names]:
        raise OptionError(
            f"options are given for {', '.join(idle)}, which is not judged",
            where="provider_options",
            fix=f"name the providers as in providers={list(names)}",
        )
    return names


def _file(
    module: nn.Module,
    file: str | PathLike[str] | bytes | None,
    inputs: Mapping[str, str] | Sequence[str] | None,
    states: Sequence[str],
    mode: Mode | None,
) -> tuple[str | PathLike[str] | bytes, str]:
    """What to judge, and what to call it."""
    __tracebackhide__ = True
    if file is not None:
        _check_file(file, inputs, mode)
        return file, "the file given" if isinstance(file, bytes) else str(file)
    if inputs is None:
        from rnnedge.parity.options import OptionError

        raise OptionError(
            "neither inputs nor a file are given",
            where="assert_parity",
            fix='say what forward takes: inputs={"x": "float32[batch, time, 80]"}; or file=...',
        )
    from rnnedge_exporters import convert

    return convert(module, inputs, states=states, mode=mode or "stream").to_bytes(), "an export"


def _check_file(
    file: str | PathLike[str] | bytes,
    inputs: Mapping[str, str] | Sequence[str] | None,
    mode: Mode | None,
) -> None:
    """Whether the file is what the test says of it."""
    __tracebackhide__ = True
    if inputs is None and mode is None:
        return
    from rnnedge.parity.verification import inputs_of
    from rnnedge_exporters.specs import parse_inputs
    from rnnedge_runtime import load

    contract = load(file).contract
    if mode is not None and contract.mode != mode:
        raise ParityError(f"the file is of mode {contract.mode!r}, the test says {mode!r}")
    if inputs is None:
        return
    wanted, found = parse_inputs(inputs), parse_inputs(inputs_of(contract))
    if wanted != found:
        texts = (", ".join(f"{n}: {s}" for n, s in side.items()) for side in (found, wanted))
        raise ParityError("the file takes {}, the test says {}".format(*texts))


def _told(report: ParityReport, judged: str, module: nn.Module) -> str:
    """The report for a test's reader: what failed first, each with every tensor concerned."""
    failed = [check for check in report.checks if not check.passed]
    passed = ", ".join(check.name for check in report.checks if check.passed)
    lines = [
        f"{judged} is not the same function as {type(module).__name__}: "
        f"{len(failed)} of {len(report.checks)} checks failed",
        *(line for check in failed for line in _check_lines(check)),
        f"passed: {passed or 'none'}",
        *report.circumstances,
    ]
    if report.explanation is not None:
        lines += report.explanation.lines()
    return "\n".join(lines)


def _check_lines(check: Check) -> Iterable[str]:
    if not check.beyond:
        yield f"FAILED {check.name}: {check.detail}"
        return
    yield f"FAILED {check.name}"
    for place in check.beyond:
        far, where = place.lines()
        yield f"  {far}"
        yield f"    {where}"
