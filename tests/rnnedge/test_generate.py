"""`rnnedge generate`: a stream of characters from the ONNX file alone."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from rnnedge.cli.generate import _printed
from rnnedge.zoo.char_lm.generation import Generator
from rnnedge.zoo.char_lm.model import CharLM, CharLMConfig, new_model
from rnnedge.zoo.char_lm.sampling import Sampler
from rnnedge.zoo.char_lm.vocabulary import UNKNOWN, Vocabulary
from rnnedge_runtime import load
from rnnedge_runtime.contract import METADATA_KEY, Contract, Port, State
from rnnedge_runtime.errors import ContractError, InputError

LETTERS = Vocabulary.of("abcdé\n" * 2)
HIDDEN = 12
Save = Callable[..., Path]


@pytest.fixture(scope="module")
def model() -> CharLM:
    """An untrained Elman network with large weights, so that the past matters."""
    model = new_model(LETTERS, CharLMConfig("rnn", 1, HIDDEN, 4), seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


@pytest.fixture
def save(model: CharLM, tmp_path: Path) -> Save:
    """Writes the network by hand as a streaming file; the keywords replace its metadata."""

    def write(**metadata: str) -> Path:
        proto = helper.make_model(_graph(model), opset_imports=[helper.make_opsetid("", 22)])
        proto.ir_version = 10
        metadata = {METADATA_KEY: _contract(), "vocabulary": LETTERS.to_json()} | metadata
        helper.set_model_props(proto, {key: text for key, text in metadata.items() if text})
        onnx.checker.check_model(proto, full_check=True)
        onnx.save(proto, tmp_path / "char-lm.onnx")
        return tmp_path / "char-lm.onnx"

    return write


@pytest.fixture
def file(save: Save) -> Path:
    return save()


def _graph(model: CharLM) -> onnx.GraphProto:
    """The formulas of `CharLM` for one Elman layer, as ONNX operators."""
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    bias = np.concatenate([weights["rnn.bias_ih_l0"], weights["rnn.bias_hh_l0"]])
    constants = {
        "table": weights["embedding.weight"],
        "w": weights["rnn.weight_ih_l0"][np.newaxis],
        "r": weights["rnn.weight_hh_l0"][np.newaxis],
        "b": bias[np.newaxis],
        "w_o": weights["output.weight"].T.copy(),
        "b_o": weights["output.bias"],
        "directions": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["features"]),
        helper.make_node("Transpose", ["features"], ["x"], perm=[1, 0, 2]),
        helper.make_node("RNN", ["x", "w", "r", "b", "", "h"], ["y", "h.next"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["y", "directions"], ["hs"]),
        helper.make_node("Transpose", ["hs"], ["hidden"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["hidden", "w_o"], ["product"]),
        helper.make_node("Add", ["product", "b_o"], ["logits"]),
    ]
    state = [1, "batch", HIDDEN]
    inputs = [("tokens", TensorProto.INT64, ["batch", "time"]), ("h", TensorProto.FLOAT, state)]
    logits = ["batch", "time", len(LETTERS)]
    outputs = [("logits", TensorProto.FLOAT, logits), ("h.next", TensorProto.FLOAT, state)]
    return helper.make_graph(
        nodes,
        "char_lm",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )


def _contract() -> str:
    shape = (1, "batch", HIDDEN)
    return Contract(
        mode="stream",
        inputs=(Port("tokens", "int64", ("batch", "time"), 0, 1),),
        outputs=(Port("logits", "float32", ("batch", "time", len(LETTERS)), 0, 1),),
        states=(State("rnn.h", "h", "h.next", "float32", shape, 1, "hidden"),),
    ).to_json()


def _greedy(model: CharLM, prompt: str, length: int) -> str:
    """Reads the whole text again for every character; the first token is never drawn."""
    text = prompt
    for _ in range(length):
        logits, _ = model(torch.from_numpy(LETTERS.encode(text))[None])
        text += LETTERS.characters[1 + int(logits[0, -1, 1:].argmax())]
    return text[len(prompt) :]


@pytest.mark.parametrize("prompt", ["a", "abc", "d\ncab" * 5])
def test_the_stream_writes_what_reading_the_whole_text_again_writes(
    file: Path, model: CharLM, prompt: str
) -> None:
    sampler = Sampler(temperature=0, never=(UNKNOWN,))
    written = "".join(Generator(load(file)).characters(prompt, 60, sampler))
    assert written == _greedy(model, prompt, 60)
    assert len(set(written)) > 1, "a constant text would prove nothing"


def test_the_prompt_is_one_chunk_and_each_character_another(file: Path, monkeypatch) -> None:
    loaded = load(file)
    stream = loaded.stream()
    pushed = []
    monkeypatch.setattr(loaded, "stream", lambda batch: stream)
    push = stream.push
    monkeypatch.setattr(stream, "push", lambda x: (pushed.append(x.shape), push(x))[1])
    list(Generator(loaded).characters("abcd", 3, Sampler()))
    assert pushed == [(1, 4), (1, 1), (1, 1)]


def test_an_empty_prompt_is_refused(file: Path, call) -> None:
    with pytest.raises(InputError, match="the prompt is empty"):
        Generator(load(file)).characters("", 3, Sampler())
    assert call("generate", file, "--prompt", "").code == 2


def test_the_text_goes_to_stdout_and_the_speed_to_stderr(file: Path, model: CharLM, call) -> None:
    words = ("generate", file, "--prompt", "ab", "--length", 40, "--temperature", 0)
    ended = call(*words)
    assert ended.code == 0
    assert ended.out == "ab" + _greedy(model, "ab", 40) + "\n"
    assert re.search(r"40 characters in .* characters/s on CPUExecutionProvider", ended.err)
    assert "next: rnnedge generate" in ended.err


def test_the_same_seed_writes_the_same_text_and_another_seed_another(file: Path, call) -> None:
    def text(seed: int) -> str:
        return call("generate", file, "--prompt", "a", "--temperature", 1, "--seed", seed).out

    assert text(1) == text(1)
    assert text(1) != text(2)
    assert len(text(1)) == len("a") + 500 + len("\n")


def test_top_k_one_is_greedy(file: Path, call) -> None:
    words = ("generate", file, "--prompt", "a", "--length", 50)
    assert call(*words, "--top-k", 1).out == call(*words, "--temperature", 0).out


def test_json_is_one_object_with_text_and_speed(file: Path, call) -> None:
    ended = call("generate", file, "--prompt", "b", "--length", 9, "--seed", 5, "--json")
    result = json.loads(ended.out)
    assert result["schema_version"] == 1
    assert (result["prompt"], result["characters"], result["seed"]) == ("b", 9, 5)
    assert len(result["text"]) == 9
    assert result["characters_per_s"] == pytest.approx(9 / result["elapsed_s"])
    plain = call("generate", file, "--prompt", "b", "--length", 9, "--seed", 5).out
    assert plain == "b" + result["text"] + "\n"


def test_unknown_characters_of_the_prompt_warn_and_the_text_goes_on(file: Path, call) -> None:
    ended = call("generate", file, "--prompt", "aXbé€", "--length", 5)
    assert ended.code == 0
    assert "does not know these characters of the prompt: 'X', '€'" in ended.err
    assert ended.out.startswith("aXbé€")


def test_the_unknown_character_is_never_written(file: Path, call) -> None:
    ended = call("generate", file, "--prompt", "a", "--length", 2000, "--temperature", 50)
    assert set(ended.out) == set(LETTERS.characters[1:])


def test_each_character_is_out_before_the_next_one_is_computed(tmp_path, monkeypatch) -> None:
    path = tmp_path / "out.txt"
    with path.open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        seen = [path.read_text() for _ in _printed("ab", iter("cd"))]
    assert seen == ["abc", "abcd"]


def test_characters_that_stdout_cannot_show_are_replaced(file: Path, spawn) -> None:
    ended = spawn(
        "generate", file, "--prompt", "é", "--length", 3, env={"PYTHONIOENCODING": "ascii"}
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(b"?")


def test_generate_needs_neither_torch_nor_onnx(file: Path, spawn, tmp_path: Path) -> None:
    for name in ("torch", "onnx", "safetensors"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r})")
    ended = spawn("generate", file, "--prompt", "a", env={"PYTHONPATH": str(tmp_path)})
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.decode()) == len("a") + 500 + len("\n")


def test_a_file_without_a_vocabulary_is_refused(save: Save, call) -> None:
    ended = call("generate", save(vocabulary=""))
    assert ended.code == 2
    assert "the model file has no vocabulary" in ended.err
    assert "rnnedge train char-lm" in ended.err


def test_a_vocabulary_that_cannot_be_used_is_refused(save: Save, call) -> None:
    ended = call("generate", save(vocabulary="[1, 2]"), "--json")
    assert ended.code == 2
    assert "the vocabulary cannot be used" in json.loads(ended.out)["error"]["what"]


def test_a_vocabulary_of_another_size_is_refused(save: Save) -> None:
    path = save(vocabulary=Vocabulary.of("aabb").to_json())
    with pytest.raises(ContractError, match=r"'time', 3\] was expected, got logits: .*'time', 7\]"):
        Generator(load(path))


@pytest.mark.parametrize(
    "words", [("--length", 0), ("--temperature", -1), ("--temperature", "nan"), ("--top-k", 0)]
)
def test_settings_out_of_range_are_refused(file: Path, call, words: tuple[object, ...]) -> None:
    assert call("generate", file, *words).code == 2


def test_a_missing_file_is_refused(call, tmp_path: Path) -> None:
    ended = call("generate", tmp_path / "none.onnx")
    assert ended.code == 2
    assert "none.onnx" in ended.err
