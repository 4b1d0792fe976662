"""Text from a streaming ONNX file, one character at a time, with nothing but that file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rnnedge.zoo.char_lm.errors import VocabularyError
from rnnedge.zoo.char_lm.sampling import Sampler
from rnnedge.zoo.char_lm.vocabulary import METADATA_KEY, Vocabulary
from rnnedge_runtime import Model
from rnnedge_runtime.errors import ContractError, InputError


class Generator:
    """A character language model, ready to write.

    Attributes:
        vocabulary: from the file's metadata.
    """

    def __init__(self, model: Model) -> None:
        """Reads the vocabulary and checks that the model fits it.

        Raises:
            VocabularyError: the file has none, or one of another size than its output.
            ContractError: the model does not map tokens [batch, time] to logits
                [batch, time, vocabulary], frame by frame.
        """
        self._model = model
        self._where = "the model" if model.path is None else str(model.path)
        if METADATA_KEY not in model.metadata:
            raise VocabularyError(
                f"the model file has no vocabulary: no metadata {METADATA_KEY!r}",
                where=self._where,
                fix="name a character language model, such as one of `rnnedge train char-lm`",
            )
        self.vocabulary = Vocabulary.from_json(model.metadata[METADATA_KEY])
        self._check_ports()

    def characters(self, prompt: str, length: int, sampler: Sampler) -> Iterator[str]:
        """Continues `prompt`, in a new stream.

        The prompt is pushed as one chunk, then each character drawn is pushed by itself.

        Args:
            prompt: read first, at least one character.
            length: how many characters to write.
            sampler: draws them.

        Raises:
            InputError: the prompt is empty.
        """
        if not prompt:
            raise InputError(
                "the prompt is empty", where="prompt", fix="give at least one character, a newline"
            )
        return self._characters(prompt, length, sampler)

    def _characters(self, prompt: str, length: int, sampler: Sampler) -> Iterator[str]:
        stream = self._model.stream(batch=1)
        tokens = self.vocabulary.encode(prompt)
        for _ in range(length):
            # One input and one output: what comes back is an array.
            logits = cast("NDArray[np.float32]", stream.push(tokens[np.newaxis]))
            token = sampler(logits[0, -1])
            yield self.vocabulary.characters[token]
            tokens = np.array([token])

    def _check_ports(self) -> None:
        contract = self._model.contract
        ports = [
            (contract.inputs, "int64", ["batch", "time"]),
            (contract.outputs, "float32", ["batch", "time", len(self.vocabulary)]),
        ]
        for found, dtype, shape in ports:
            described = [f"{port.name}: {port.dtype}{list(port.shape)}" for port in found]
            if len(found) != 1 or (found[0].dtype, list(found[0].shape)) != (dtype, shape):
                raise ContractError(
                    f"{dtype}{shape} was expected, got {'; '.join(described)}",
                    where=self._where,
                    fix="name a character language model, such as one of `rnnedge train char-lm`",
                )
