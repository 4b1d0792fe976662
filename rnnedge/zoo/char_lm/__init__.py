"""A character language model: train it, export it, stream it.

Text is modelled one character at a time (Mikolov et al., 2010; Graves, arXiv:1308.0850): a
recurrent network reads a character and predicts the next one. `text`, `vocabulary`, `streams` and
`baseline` prepare and judge, `model`, `training` and `checkpoint` need torch, `sampling` and
`generation` need only numpy and the runtime: they run where the exported file runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnedge.zoo.char_lm.baseline import Bigram
    from rnnedge.zoo.char_lm.checkpoint import from_checkpoint, load_checkpoint, save_checkpoint
    from rnnedge.zoo.char_lm.generation import Generator
    from rnnedge.zoo.char_lm.model import CharLM, CharLMConfig
    from rnnedge.zoo.char_lm.sampling import Sampler
    from rnnedge.zoo.char_lm.training import TrainingOptions, evaluate, train, use_threads
    from rnnedge.zoo.char_lm.vocabulary import Vocabulary

__all__ = [
    "Bigram",
    "CharLM",
    "CharLMConfig",
    "Generator",
    "Sampler",
    "TrainingOptions",
    "Vocabulary",
    "evaluate",
    "from_checkpoint",
    "load_checkpoint",
    "save_checkpoint",
    "train",
    "use_threads",
]

_HOME = {
    "Bigram": "baseline",
    "CharLM": "model",
    "CharLMConfig": "model",
    "Generator": "generation",
    "Sampler": "sampling",
    "TrainingOptions": "training",
    "Vocabulary": "vocabulary",
    "evaluate": "training",
    "from_checkpoint": "checkpoint",
    "load_checkpoint": "checkpoint",
    "save_checkpoint": "checkpoint",
    "train": "training",
    "use_threads": "training",
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used, so that a device without torch can generate."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        from rnnedge_runtime.errors import RnnEdgeError

        raise RnnEdgeError(
            f"training needs {error.name}, which is not installed",
            where=f"{__name__}.{name}",
            fix='pip install "rnnedge[export]"',
        ) from error
    globals()[name] = value  # the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
