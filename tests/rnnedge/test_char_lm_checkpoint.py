"""Checkpoints come back whole, and nothing else is taken for one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rnnedge.zoo.char_lm import from_checkpoint
from rnnedge.zoo.char_lm.checkpoint import load_checkpoint, save_checkpoint
from rnnedge.zoo.char_lm.errors import CheckpointError
from rnnedge.zoo.char_lm.model import CharLM, CharLMConfig, new_model
from rnnedge.zoo.char_lm.vocabulary import Vocabulary

LETTERS = Vocabulary.of('aa"" \n\n\u20ac\u20ac\\\\')
KEY = "rnnedge.char_lm"


@pytest.fixture
def model() -> CharLM:
    return new_model(LETTERS, CharLMConfig("gru", layers=2, hidden=5, embedding=3), seed=0)


@pytest.fixture
def saved(model: CharLM, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(model, path)
    return path


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("embedding", [3, None])
def test_a_checkpoint_gives_the_same_model_back(
    cell: str, embedding: int | None, tmp_path: Path
) -> None:
    model = new_model(LETTERS, CharLMConfig(cell, 2, 5, embedding), seed=0)
    save_checkpoint(model, tmp_path / "model.safetensors")
    loaded = from_checkpoint(checkpoint=str(tmp_path / "model.safetensors"))
    assert (loaded.config, loaded.vocabulary) == (model.config, LETTERS)
    assert not loaded.training
    tokens = torch.arange(4).reshape(2, 2)
    for ours, expected in zip(loaded(tokens), model(tokens), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)


def test_the_model_carries_its_vocabulary_for_the_exporter(saved: Path) -> None:
    metadata = from_checkpoint(checkpoint=str(saved)).rnnedge_metadata
    assert tuple(json.loads(metadata["vocabulary"])) == LETTERS.characters


def test_a_missing_checkpoint_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint") as caught:
        load_checkpoint(tmp_path / "none.safetensors")
    assert "rnnedge train char-lm" in caught.value.fix


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_refused(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_checkpoint(saved)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_safetensors_of_another_model_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="not of a character language model"):
        load_checkpoint(tmp_path / "other.safetensors")


def _rewrite(path: Path, description: object, tensors: dict[str, torch.Tensor]) -> None:
    text = description if isinstance(description, str) else json.dumps(description)
    save_file(tensors, path, metadata={KEY: text})


def _description(**changes: object) -> dict[str, object]:
    config = {"cell": "gru", "layers": 2, "hidden": 5, "embedding": 3}
    return {"version": 1, "config": config, "vocabulary": LETTERS.to_json()} | changes


@pytest.mark.parametrize(
    ("description", "what"),
    [
        ("{", "cannot be read .JSONDecodeError"),
        ("[" * 100_000, "cannot be read .RecursionError"),
        ([], "cannot be read"),
        (_description(version=2), "checkpoint version 2 found, this release reads version 1"),
        (_description(config={}), "cannot be read .KeyError: 'cell'"),
        (_description(config=None), "cannot be read"),
        (_description(config=_description()["config"] | {"cell": "os.system"}), "unknown cell"),
        (_description(config=_description()["config"] | {"cell": ["gru"]}), "unknown cell"),
        (_description(config=_description()["config"] | {"hidden": 0}), "positive number"),
        (_description(config=_description()["config"] | {"hidden": 1.5}), "positive number"),
        (_description(config=_description()["config"] | {"layers": 10**9}), "numbers only"),
        (_description(config=_description()["config"] | {"hidden": 10**30}), "numbers only"),
        (_description(config=_description()["config"] | {"hidden": 6}), "was expected, got"),
        (_description(config=_description()["config"] | {"cell": "lstm"}), "was expected, got"),
        (_description(vocabulary='["a"]'), "its first entry must be"),
        (_description(vocabulary=3), "cannot be read"),
    ],
)
def test_metadata_that_does_not_fit_the_tensors_is_refused_before_anything_is_allocated(
    saved: Path, description: object, what: str
) -> None:
    _rewrite(saved, description, load_file(saved))
    with pytest.raises(CheckpointError, match=what) as caught:
        load_checkpoint(saved)
    assert caught.value.where == str(saved)


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "dtype"])
def test_tensors_that_do_not_fit_are_named(saved: Path, change: str) -> None:
    tensors = load_file(saved)
    if change == "missing":
        del tensors["output.bias"]
    elif change == "extra":
        tensors["output.scale"] = torch.ones(1)
    elif change == "shape":
        tensors["output.bias"] = torch.ones(3)
    else:
        tensors["output.bias"] = tensors["output.bias"].double()
    _rewrite(saved, _description(), tensors)
    with pytest.raises(CheckpointError, match=r"tensor 'output\.(bias|scale)': .* was expected"):
        load_checkpoint(saved)
