"""`rnnedge inspect`: what a model file promises, holds, and costs per frame."""

from __future__ import annotations

from rnnedge.cli import _output
from rnnedge.cli._options import JsonFlag, ModelArgument


def inspect(file: ModelArgument, json: JsonFlag = False) -> None:
    """Show what a model file promises, holds and costs."""
    from rnnedge.report.inspection import inspect_file

    found = inspect_file(file)
    _output.emit(found, json=json)
    if found.contract is None:
        _output.warn(
            "the file has no contract, so nothing says which inputs are states",
            fix="export it with `rnnedge export`, which writes one",
        )
        return
    _output.hint("rnnedge", "run", file, "INPUT.npy", "--output", "OUTPUT.npy")
