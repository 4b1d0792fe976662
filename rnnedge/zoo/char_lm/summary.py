"""What `rnnedge train char-lm` and `rnnedge generate` report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnedge.report.units import bytes_text, count_text

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


@dataclass(frozen=True)
class TrainingSummary:
    """A trained model and how good it is.

    Attributes:
        output: the checkpoint.
        size_bytes: of the checkpoint.
        network: the shape, as a person says it: ``lstm, 1 layer of 192``.
        parameters: trained numbers.
        text: where the text is from.
        training_characters: in the training part of the text.
        validation_characters: predicted in the validation part.
        unknown_characters: in the validation part, not in the vocabulary.
        vocabulary_size: known characters and the unknown one.
        steps: updates made.
        interrupted: fewer than asked for, because the user stopped.
        train_s: seconds of training, validation not included.
        training_bits_per_character: over the last steps.
        validation_bits_per_character: of the trained model.
        bigram_bits_per_character: of the bigram model on the same characters.
    """

    output: Path
    size_bytes: int
    network: str
    parameters: int
    text: str
    training_characters: int
    validation_characters: int
    unknown_characters: int
    vocabulary_size: int
    steps: int
    interrupted: bool
    train_s: float
    training_bits_per_character: float
    validation_bits_per_character: float
    bigram_bits_per_character: float

    def to_dict(self) -> Mapping[str, Any]:
        """Every field; the path as text."""
        return asdict(self) | {"output": str(self.output)}

    def to_rich(self) -> Table:
        """One line per fact."""
        from rnnedge.report.tables import new_list

        return new_list(self._facts())

    def to_line(self) -> str:
        """The checkpoint's path."""
        return str(self.output)

    def _facts(self) -> list[tuple[str, str]]:
        unknown = f", {self.unknown_characters} unknown" if self.unknown_characters else ""
        stopped = ", interrupted" if self.interrupted else ""
        return [
            ("checkpoint", f"{self.output}, {bytes_text(self.size_bytes)}"),
            ("network", f"{self.network}, {count_text(self.parameters)} parameters"),
            ("text", f"{self.text}, vocabulary of {self.vocabulary_size} characters"),
            (
                "training",
                f"{self.training_bits_per_character:.3f} bits per character at the end, "
                f"{count_text(self.training_characters)} characters, "
                f"{count_text(self.steps)} steps in {self.train_s:.0f} s{stopped}",
            ),
            (
                "validation",
                f"{self.validation_bits_per_character:.3f} bits per character, "
                f"{count_text(self.validation_characters)} characters{unknown}",
            ),
            ("bigram model", f"{self.bigram_bits_per_character:.3f} bits per character on these"),
        ]


@dataclass(frozen=True)
class GenerationSummary:
    """A generated text and how fast it came.

    Attributes:
        prompt: what the text goes on from.
        text: what was generated, without the prompt.
        elapsed_s: seconds from the prompt to the last character, sampling and printing included.
        provider: onnxruntime's name of the execution provider.
    """

    prompt: str
    text: str
    elapsed_s: float
    provider: str
    temperature: float
    top_k: int | None
    seed: int

    @property
    def characters(self) -> int:
        """How many were generated."""
        return len(self.text)

    @property
    def characters_per_s(self) -> float:
        """How many per second."""
        return self.characters / self.elapsed_s

    def to_dict(self) -> Mapping[str, Any]:
        """Every field."""
        speed = {"characters": self.characters, "characters_per_s": self.characters_per_s}
        return asdict(self) | speed

    def to_rich(self) -> Text:
        """How fast it went; the text has been printed as it came."""
        from rich.text import Text

        return Text(
            f"{count_text(self.characters)} characters in {self.elapsed_s:.2f} s: "
            f"{self.characters_per_s:,.0f} characters/s on {self.provider}"
        )

    def to_line(self) -> str:
        """Nothing: the text has been printed as it came."""
        return ""
