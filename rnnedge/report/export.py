"""What an export made: the file, its ports and states, and the proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from rnnedge.report.contract import contract_dict, contract_tables
from rnnedge.report.parity import parity_table

if TYPE_CHECKING:
    from rnnedge.pipeline import ExportResult


class ExportSummary:
    """What `rnnedge export` prints."""

    def __init__(self, result: ExportResult) -> None:
        self._result = result

    def to_dict(self) -> Mapping[str, Any]:
        """The contract and the proof; `path` is null when no file was written."""
        parity = self._result.parity
        return {
            "path": None if self._result.path is None else str(self._result.path),
            "contract": contract_dict(self._result.contract),
            "parity": None if parity is None else parity.to_dict(),
        }

    def to_rich(self) -> RenderableType:
        """Ports, states, checks, and what became of the file."""
        parts: list[RenderableType] = [*contract_tables(self._result.contract)]
        if self._result.parity is not None:
            parts.append(parity_table(self._result.parity))
        return Group(*parts, Text(self._outcome()))

    def to_line(self) -> str:
        """The path of the file, if one was written."""
        return "" if self._result.path is None else str(self._result.path)

    def _outcome(self) -> str:
        if self._result.path is None:
            return "nothing was written: the proof failed (--keep-failed writes it all the same)"
        if self._result.parity is None:
            return f"wrote {self._result.path}, not verified"
        proof = "verified" if self._result.parity.passed else "kept although the proof FAILED"
        return f"wrote {self._result.path}, {proof}"
