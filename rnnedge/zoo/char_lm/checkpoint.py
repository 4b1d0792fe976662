"""Checkpoints: weights in safetensors, vocabulary and configuration in its metadata.

Reading one runs no code of the file's, and allocates nothing that the file does not hold: the
claimed shapes are compared with the tensors before a model is built.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rnnedge.zoo.char_lm.errors import CheckpointError
from rnnedge.zoo.char_lm.model import CharLM, CharLMConfig
from rnnedge.zoo.char_lm.vocabulary import Vocabulary
from rnnedge_runtime.errors import RnnEdgeError

VERSION = 1
_KEY = "rnnedge.char_lm"


def save_checkpoint(model: CharLM, path: Path) -> None:
    """Writes weights, vocabulary and configuration into one safetensors file."""
    described = {
        "version": VERSION,
        "config": asdict(model.config),
        "vocabulary": model.vocabulary.to_json(),
    }
    # One key only: safetensors writes several in random order, and equal models give equal files.
    save_file(model.state_dict(), path, metadata={_KEY: json.dumps(described)})


def load_checkpoint(path: Path) -> CharLM:
    """Reads what `save_checkpoint` wrote; the model is in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged, or from something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(
            "there is no such checkpoint",
            where=str(path),
            fix="train one: rnnedge train char-lm --output FILE",
        ) from error
    except (SafetensorError, OSError) as error:
        raise _damaged(path, f"it is not a whole safetensors file ({error})") from error
    vocabulary, config = _read_description(metadata, path)
    return _build(vocabulary, config, tensors, path)


def from_checkpoint(checkpoint: str) -> CharLM:
    """The factory that `rnnedge export` is given: the trained model, in evaluation mode.

    Args:
        checkpoint: the path of a file that `rnnedge train char-lm` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, or from something else.
    """
    return load_checkpoint(Path(checkpoint))


def _read_description(metadata: dict[str, str], path: Path) -> tuple[Vocabulary, CharLMConfig]:
    if _KEY not in metadata:
        raise CheckpointError(
            f"the file is not of a character language model: it has no metadata {_KEY!r}",
            where=str(path),
            fix="name a file that `rnnedge train char-lm` wrote",
        )
    try:
        described = json.loads(metadata[_KEY])
        version = described["version"]
        if version != VERSION:
            raise CheckpointError(
                f"checkpoint version {version} found, this release reads version {VERSION}",
                where=str(path),
                fix="install a newer rnnedge, or train again with this release",
            )
        shape: dict[str, Any] = {f.name: described["config"][f.name] for f in fields(CharLMConfig)}
        return Vocabulary.from_json(described["vocabulary"]), CharLMConfig(**shape)
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, RnnEdgeError) as error:
        what = error.what if isinstance(error, RnnEdgeError) else f"{type(error).__name__}: {error}"
        raise _damaged(path, f"its metadata {_KEY!r} cannot be read ({what})") from error


def _build(
    vocabulary: Vocabulary, config: CharLMConfig, tensors: dict[str, Tensor], path: Path
) -> CharLM:
    numbers = sum(tensor.numel() for tensor in tensors.values())
    if max(config.layers, config.hidden, config.embedding or 0) > numbers:
        raise _damaged(path, f"{config} is claimed, but it holds {numbers} numbers only")
    with torch.device("meta"):  # shapes only, no memory
        model = CharLM(vocabulary, config)
    expected = {name: _describe(tensor) for name, tensor in model.state_dict().items()}
    found = {name: _describe(tensor) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise _damaged(
                path,
                f"tensor {name!r}: {expected.get(name, 'nothing')} was expected, "
                f"got {found.get(name, 'nothing')}",
            )
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint is damaged: {why}",
        where=str(path),
        fix="restore the file, or train again: rnnedge train char-lm",
    )
