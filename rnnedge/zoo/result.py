"""What `rnnedge train zoo` reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnedge.report.units import bytes_text, count_text

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class ZooResult:
    """A layer that was trained, exported, proven and judged.

    Attributes:
        name: of the layer.
        output: the ONNX file; None when the proof failed and nothing was written.
        size_bytes: of the file.
        parameters: trained numbers.
        task: that it was trained on.
        steps: updates made.
        train_s: seconds of training.
        accuracy: the trained module's share of right answers, on longer sequences than it saw.
        stream_accuracy: the exported stream's, on the same; None when nothing was written.
        without_memory: what a model without memory could reach.
        operator: that carries the state in the file: ``GRU``, ``Scan``.
        checks: of the proof, all of them.
        failed: the names of those that failed.
    """

    name: str
    output: Path | None
    size_bytes: int
    parameters: int
    task: str
    steps: int
    train_s: float
    accuracy: float
    stream_accuracy: float | None
    without_memory: float
    operator: str
    checks: int
    failed: tuple[str, ...]

    @property
    def proven(self) -> bool:
        """Whether the stream equals the module."""
        return not self.failed

    def to_dict(self) -> Mapping[str, Any]:
        """Every field; the path as text."""
        path = None if self.output is None else str(self.output)
        return asdict(self) | {"output": path, "proven": self.proven}

    def to_rich(self) -> Table:
        """One line per fact."""
        from rnnedge.report.tables import new_list

        return new_list(self._facts())

    def to_line(self) -> str:
        """The file's path."""
        return "" if self.output is None else str(self.output)

    def _facts(self) -> list[tuple[str, str]]:
        proof = (
            f"passed, {self.checks} checks"
            if self.proven
            else f"failed: {', '.join(self.failed)}; nothing was written"
        )
        facts = [
            ("layer", f"{self.name}, {count_text(self.parameters)} parameters"),
            ("training", f"{self.task}, {self.steps} steps in {self.train_s:.0f} s"),
            ("module", f"{self.accuracy:.1%} right"),
            ("proof", proof),
        ]
        if self.stream_accuracy is not None:
            facts.append(("stream", f"{self.stream_accuracy:.1%} right, operator {self.operator}"))
        facts.append(("no memory", f"{self.without_memory:.1%} right at best"))
        if self.output is not None:
            facts.append(("file", f"{self.output}, {bytes_text(self.size_bytes)}"))
        return facts
