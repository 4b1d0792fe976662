"""What can be wrong with a text, a vocabulary, a checkpoint or a training run."""

from __future__ import annotations

from rnnedge_runtime.errors import RnnEdgeError


class TextError(RnnEdgeError):
    """The text is missing, is not text, or is too short."""


class VocabularyError(RnnEdgeError):
    """A model file has no vocabulary, or one that cannot be used."""


class CheckpointError(RnnEdgeError):
    """The file is no checkpoint of a character language model, or is damaged."""


class TrainingError(RnnEdgeError):
    """Training was asked for something impossible, or diverged."""
