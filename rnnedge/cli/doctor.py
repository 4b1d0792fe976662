"""`rnnedge doctor`: the facts for a bug report, and a check that streaming works."""

from __future__ import annotations

import typer

from rnnedge.cli import _output
from rnnedge.cli._options import JsonFlag
from rnnedge.cli._output import ExitCode


def doctor(json: JsonFlag = False) -> None:
    """Check this machine; show the facts for a bug report."""
    from rnnedge.report.machine import diagnose

    found = diagnose()
    _output.emit(found, json=json)
    if not found.passed:
        raise typer.Exit(ExitCode.CHECK_FAILED)
    _output.hint("rnnedge", "export", "--help")
