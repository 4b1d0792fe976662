"""The pytest plugin: the fixture ``rnnedge_parity``.

pytest imports it in every project where rnnedge is installed, so it imports nothing heavy; torch is
imported when a test asks for the fixture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import nn

    from rnnedge.parity import ParityReport

_YARDSTICK = "rnnedge_yardstick"


@pytest.fixture
def rnnedge_parity(
    request: pytest.FixtureRequest,
) -> Callable[..., tuple[ParityReport, ...]]:
    """`rnnedge.testing.assert_parity`, noted in the test's report.

    Each verdict becomes a property of the test, as in JUnit's XML. A test that allows another error
    than the verifier's own is named at the end of the run, even if it passes.

    Raises:
        RnnEdgeError: torch and the exporters are not installed.
    """
    from rnnedge.testing.assertion import ParityError, assert_parity, require_exporters

    __tracebackhide__ = True
    require_exporters("fixture rnnedge_parity")

    def judge(module: nn.Module, **options: Any) -> tuple[ParityReport, ...]:
        __tracebackhide__ = True
        try:
            with _untraced():
                reports = assert_parity(module, **options)
        except ParityError as error:
            _note(request, error.reports)
            raise
        _note(request, reports)
        return reports

    return judge


@contextmanager
def _untraced() -> Iterator[None]:
    """Keeps torch's trace of an export, lines without a word, out of the test's report."""
    logger = logging.getLogger("torch.__trace")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _note(request: pytest.FixtureRequest, reports: Sequence[ParityReport]) -> None:
    properties = request.node.user_properties
    for report in reports:
        verdict = "passed" if report.passed else "failed"
        properties.append(("rnnedge_parity", f"{verdict} on {report.provider}"))
    # Of one call, all reports have the same yardstick.
    properties.extend((_YARDSTICK, r.yardstick) for r in reports[:1] if r.yardstick is not None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tells which tests were judged by another yardstick than the verifier's own."""
    lines = [
        f"{report.nodeid}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == _YARDSTICK
    ]
    if lines:
        terminalreporter.section("rnnedge parity")
        for line in lines:
            terminalreporter.line(line)
