"""What went wrong, in three lines and an exit code: the user's to fix, or ours."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

from rnnedge.cli import _output
from rnnedge.cli._output import ExitCode


def explain(error: Exception, *, json: bool) -> ExitCode:
    """Tells the user about `error`, and a program too if it asked for JSON.

    Returns:
        The exit code: `BAD_INPUT` for what a user can act on, `OUR_BUG` for anything else.
    """
    if _output.settings.verbose:
        traceback.print_exception(error, file=sys.stderr)
    # Here, not above: the runtime is not needed until something goes wrong.
    from rnnedge_runtime.errors import RnnEdgeError

    if isinstance(error, RnnEdgeError):
        _output.emit_error(error.what, error.where, error.fix, json=json)
        return ExitCode.BAD_INPUT
    if isinstance(error, OSError) and error.filename is not None:
        _output.emit_error(
            f"the system refused: {(error.strerror or str(error)).lower()}",
            str(error.filename),
            "check the path, its permissions and the free space",
            json=json,
        )
        return ExitCode.BAD_INPUT
    _output.emit_error(
        f"a bug in rnnedge: {type(error).__name__}: {error}",
        _place(error.__traceback__),
        "report it with the output of `rnnedge doctor`; "
        "`rnnedge --verbose COMMAND ...` shows the traceback",
        json=json,
    )
    return ExitCode.OUR_BUG


def _place(trace: TracebackType | None) -> str:
    """The innermost line of ours: module and line, no path of the user's machine."""
    place = "unknown"
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] in ("rnnedge", "rnnedge_exporters", "rnnedge_runtime"):
            place = f"{module}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place
