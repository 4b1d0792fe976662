"""What `rnnedge bench` prints: at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rnnedge.report.tables import new_list, new_table
from rnnedge.report.units import bytes_text, frames_text

if TYPE_CHECKING:
    from rnnedge.benchmark.result import BenchReport
    from rnnedge.benchmark.sweeps import Point
    from rnnedge.benchmark.timings import Timings

COLUMNS = (
    "µs per call",
    "calls",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "worst",
    "jitter",
    "rtf",
    "× limit",
)


class BenchSummary:
    """A report in the three forms."""

    def __init__(self, report: BenchReport) -> None:
        self._report = report

    def to_dict(self) -> Mapping[str, Any]:
        """The report's own form."""
        return self._report.to_dict()

    def to_rich(self) -> RenderableType:
        """What was called, the times, the sweeps, then one line per fact."""
        report = self._report
        parts: list[RenderableType] = [new_list(head(report))]
        times = new_table(*COLUMNS)
        for column in times.columns[1:]:
            column.justify = "right"
        for row in rows(report):
            times.add_row(*map(Text, row))
        parts.append(times)
        for title, points in sweeps(report):
            parts.append(_sweep(title, points))
        parts.append(new_list(tail(report)))
        return Group(*parts)

    def to_line(self) -> str:
        """The median and its real-time factor; or the budget that was broken."""
        broken = [str(budget) for budget in self._report.budgets if not budget.passed]
        return "; ".join(broken) or f"{number(self._report.timings.p50_us)} µs per call"


def number(value: float | None) -> str:
    """Three digits that matter: ``12.3``, ``1,230``."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rtf_text(rtf: float) -> str:
    """With its direction: ``rtf 0.012 (83 times faster than real time)``."""
    if rtf <= 1:
        return f"rtf {rtf:.2g} ({number(1 / rtf)} times faster than real time)"
    return f"rtf {rtf:.3g} ({number(rtf)} times SLOWER than real time)"


def head(report: BenchReport) -> Iterator[tuple[str, str]]:
    """What was called, and what came first."""
    called, cold, machine = report.called, report.cold, report.machine
    provider = called.provider.removesuffix("ExecutionProvider")
    threads = "1 thread" if called.threads == 1 else f"{called.threads} threads"
    yield "model", f"{called.file}, {called.nodes} operators, on {provider}, {threads}"
    frames = frames_text(called.frames)
    signal = "" if called.signal_us is None else f", {number(called.signal_us / 1e3)} ms of signal"
    yield "one call", f"{frames}, batch {called.batch}{signal}"
    packages = machine["packages"]
    runtime = next((f"{n} {v}" for n, v in packages.items() if n.startswith("onnxruntime")), "")
    yield "machine", f"{machine['cpu']}, {machine['cpu_usable']} cores; {runtime}"
    yield (
        "cold",
        f"load {number(cold.load_ms)} ms, first call {number(cold.first_call_us)} µs, second "
        f"{number(cold.second_call_us)} µs",
    )


def rows(report: BenchReport) -> Iterator[tuple[str, ...]]:
    """Cells of the table of times, numbers as text."""
    yield _row(report, "back to back", report.timings)
    if report.paced is not None:
        name = f"paced, every {number(report.paced.period_ms)} ms"
        yield _row(report, name, report.paced.timings)
    for peer in report.peers:
        if peer.timings is not None:
            yield _row(report, peer.name, peer.timings)


def _row(report: BenchReport, name: str, timings: Timings) -> tuple[str, ...]:
    times = (50, 90, 99, 99.9)
    rtf, limit = report.rtf_of(timings), report.times_limit(timings)
    return (
        name,
        str(timings.calls),
        *(number(timings.percentile_us(percent)) for percent in times),
        number(timings.worst_us),
        number(timings.jitter_us),
        "" if rtf is None else f"{rtf:.2g}",
        number(limit),
    )


def sweeps(report: BenchReport) -> Iterator[tuple[str, Mapping[str, Point]]]:
    """Title and points, by the size that is varied."""
    if report.chunks:
        points = {str(point.frames): point for point in report.chunks}
        yield f"frames per call, batch {report.called.batch}", points
    if report.batches:
        points = {str(point.batch): point for point in report.batches}
        yield f"batch, {frames_text(report.called.frames)} per call", points


def _sweep(title: str, points: Mapping[str, Point]) -> Table:
    table = new_table(title, *points)
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("µs per call", *(number(point.timings.p50_us) for point in points.values()))
    per_frame = (number(point.us_per_frame) for point in points.values())
    table.add_row("µs per frame and row", *per_frame)
    return table


def tail(report: BenchReport) -> Iterator[tuple[str, str]]:
    """One fact a line: real time, deadlines, limit, memory, energy, peers, diagnosis, budgets."""
    yield "per frame", f"{number(report.per_frame_us(report.timings))} µs"
    if report.rtf is not None:
        yield "real time", rtf_text(report.rtf)
    else:
        yield "real time", "unknown: give --hop-ms, the time from one input frame to the next"
    if (paced := report.paced) is not None:
        worst = number(float(paced.response_us.max()) / 1e3)
        yield (
            "deadline",
            f"{paced.misses} of {paced.timings.calls} paced calls missed {number(paced.period_ms)} "
            f"ms; the worst was done after {worst} ms, call {paced.worst_call}",
        )
    if (limit := report.limit) is not None:
        yield (
            "limit",
            f"{number(limit.limit_us)} µs: {bytes_text(limit.weight_bytes)} of weights read once, "
            f"at {bytes_text(limit.bytes_per_s)}/s",
        )
    yield "memory", _memory(report)
    yield "energy", _energy(report)
    for peer in report.peers:
        text = peer.detail if peer.timings is not None else f"{peer.status}: {peer.detail}"
        yield peer.name, text
    for finding in report.findings:
        yield finding.kind.replace("-", " "), finding.text
    for budget in report.budgets:
        yield "budget kept" if budget.passed else "BUDGET BROKEN", str(budget)


def _memory(report: BenchReport) -> str:
    memory = report.memory
    state = f"{bytes_text(memory.state_bytes)} of state"
    if memory.stream_bytes is None or memory.model_bytes is None:
        return f"{state} per stream; this system does not tell the resident set"
    return (
        f"model {bytes_text(memory.model_bytes)}, one more stream "
        f"{bytes_text(memory.stream_bytes)}, {state} in it"
    )


def _energy(report: BenchReport) -> str:
    cpu = report.cpu_ms_per_signal_s
    if cpu is None:
        return f"{number(report.cpu_us_per_call)} µs of processor time per call"
    text = f"{number(cpu)} ms of processor time per second of signal"
    if report.paced is None:
        return text
    return f"{text}; paced, waiting included, {number(report.paced.cpu_ms_per_signal_s)} ms"
