"""`rnnedge train char-lm`: from a text to a checkpoint."""

from __future__ import annotations

import inspect
import json
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from rnnedge.cli import _output
from rnnedge.cli.train import char_lm
from rnnedge.zoo.char_lm import CharLMConfig, TrainingOptions, evaluate, from_checkpoint
from rnnedge.zoo.char_lm.baseline import Bigram
from rnnedge.zoo.char_lm.corpus import Corpus

TEXT = "def f(x):\n    return x + 1\n\n" * 60
SMALL = ("--hidden", 8, "--batch", 2, "--unroll", 16)


pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def text() -> Path:
    path = Path("text.txt")
    path.write_text(TEXT)
    return path


def test_the_checkpoint_is_the_model_that_was_judged(text: Path, call) -> None:
    ended = call("train", "char-lm", "--text", text, *SMALL, "--steps", 20, "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    corpus = Corpus.of(TEXT)
    model = from_checkpoint(checkpoint="char-lm.safetensors")
    bigram = Bigram(corpus.training, len(corpus.vocabulary))
    assert result["schema_version"] == 1
    assert (result["steps"], result["interrupted"]) == (20, False)
    assert result["size_bytes"] == Path(result["output"]).stat().st_size
    assert result["validation_bits_per_character"] == pytest.approx(
        evaluate(model, corpus.validation)
    )
    assert result["bigram_bits_per_character"] == bigram.bits_per_character(corpus.validation)


def test_progress_goes_to_stderr_in_ten_lines_and_ends_with_the_next_command(text, call) -> None:
    ended = call("train", "char-lm", "--text", text, *SMALL, "--steps", 40, "-o", "my.safetensors")
    lines = ended.err.splitlines()
    assert len([line for line in lines if "bits per character in training" in line]) == 10
    assert lines[-1] == (
        "next: rnnedge export rnnedge.zoo.char_lm:from_checkpoint "
        "--arg checkpoint=my.safetensors --input 'tokens: int64[batch, time]' --output my.onnx"
    )
    assert "bigram model" in ended.out
    assert "my.safetensors" in ended.out


def test_quiet_prints_the_path_alone(text: Path, call) -> None:
    ended = call("--quiet", "train", "char-lm", "--text", text, *SMALL, "--steps", 2)
    _output.settings.quiet = False
    assert (ended.code, ended.out, ended.err) == (0, "char-lm.safetensors\n", "")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_options_shape_the_network(text: Path, call, cell: str) -> None:
    words = ("--cell", cell, "--layers", 2, "--one-hot", "--steps", 2)
    assert call("train", "char-lm", "--text", text, *SMALL, *words).code == 0
    config = from_checkpoint(checkpoint="char-lm.safetensors").config
    assert config == CharLMConfig(cell, layers=2, hidden=8, embedding=None)


def test_an_epoch_reads_the_training_part_once(text: Path, call) -> None:
    ended = call("train", "char-lm", "--text", text, *SMALL, "--epochs", 1, "--json")
    length = (len(Corpus.of(TEXT).training) - 1) // 2
    assert json.loads(ended.out)["steps"] == -(-length // 16)


def test_the_same_seed_gives_the_same_checkpoint(text: Path, call) -> None:
    words = ("train", "char-lm", "--text", text, *SMALL, "--steps", 5)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert call(*words, "--seed", seed, "-o", name).code == 0
    a, b, c = (Path(name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_without_a_text_it_learns_from_the_standard_library(call) -> None:
    words = ("--max-chars", 20_000, "--steps", 2, "--json")
    result = json.loads(call("train", "char-lm", *SMALL, *words).out)
    assert result["text"] == "Python's standard library"
    assert result["training_characters"] == 18_000


@pytest.mark.slow
def test_a_text_may_come_from_stdin(spawn) -> None:
    words = ("--text", "-", *SMALL, "--steps", 2, "--json")
    ended = spawn("train", "char-lm", *words, stdin=TEXT.encode())
    assert json.loads(ended.stdout)["training_characters"] == round(len(TEXT) * 0.9)


@pytest.mark.parametrize(
    ("content", "words", "what"),
    [
        (None, (), "the text cannot be read: no such file or directory"),
        (b"", (), "the text is empty"),
        (b"ab\xff", (), "UTF-8 text was expected, got the byte 0xff"),
        (b"a", (), "the text is too short"),
        (b"abc" * 50, (), "need 1025 to train on, got 135"),
        (b"abc" * 999, ("--learning-rate", "inf"), "zero or more, and finite was expected"),
        (b"abc" * 999, ("--clip", 0), "more than zero was expected"),
        (b"abc" * 999, ("--learning-rate", "1e38", "--clip", "inf"), "training diverged"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_three_lines_and_leaves_no_file(
    content: bytes | None, words: tuple[object, ...], what: str, call
) -> None:
    if content is not None:
        Path("text.txt").write_bytes(content)
    ended = call("train", "char-lm", "--text", "text.txt", "--steps", 20, "--hidden", 8, *words)
    assert ended.code == 2
    assert what in ended.err
    assert "\n  where: " in ended.err
    assert "\n  fix: " in ended.err
    assert not list(Path().glob("*safetensors*"))


@pytest.mark.parametrize(
    "words",
    [
        ("--hidden", 0),
        ("--layers", 0),
        ("--embedding", 0),
        ("--batch", 0),
        ("--unroll", 0),
        ("--steps", 0),
        ("--learning-rate", -1),
        ("--cell", "mamba"),
        ("--steps", 1, "--epochs", 1),
        ("--output", "-"),
    ],
)
def test_bad_values_are_usage_errors(text: Path, words: tuple[object, ...], call) -> None:
    assert call("train", "char-lm", "--text", text, *words).code == 2
    assert list(Path().iterdir()) == [text]


def test_an_existing_checkpoint_is_replaced_only_by_force(text: Path, call) -> None:
    Path("char-lm.safetensors").write_text("mine")
    words = ("train", "char-lm", "--text", text, *SMALL, "--steps", 2)
    assert call(*words).code == 2
    assert Path("char-lm.safetensors").read_text() == "mine"
    assert call(*words, "--force").code == 0
    from_checkpoint(checkpoint="char-lm.safetensors")


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_learned(text: Path) -> None:
    words = ("train", "char-lm", "--text", text, *SMALL, "--steps", 10_000_000, "--json")
    process = subprocess.Popen(
        [sys.executable, "-c", _ANNOUNCED, *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    result = json.loads(out)
    assert result["interrupted"]
    assert 0 < result["steps"] < 10_000_000
    from_checkpoint(checkpoint="char-lm.safetensors")


_ANNOUNCED = """
import sys
from rnnedge.cli import _output, main, train
progress = train._progress
def announced(steps):
    print("training", flush=True)
    return progress(steps)
train._progress = announced
main(sys.argv[1:])
"""


def test_the_defaults_of_the_command_are_those_of_the_library() -> None:
    options = inspect.signature(char_lm).parameters
    for owner in (CharLMConfig, TrainingOptions):
        for field in fields(owner):
            if field.name != "steps":
                assert options[field.name].default == field.default, field.name


@pytest.mark.long
def test_the_whole_way_from_a_text_to_a_device_writes_the_text_learned(text: Path, spawn) -> None:
    words = ("--hidden", 32, "--batch", 2, "--unroll", 32, "--steps", 250)
    trained = spawn("train", "char-lm", "--text", text, *words, "--json")
    result = json.loads(trained.stdout)
    assert result["validation_bits_per_character"] < result["bigram_bits_per_character"] / 4
    exported = spawn(
        "export",
        "rnnedge.zoo.char_lm:from_checkpoint",
        *("--arg", "checkpoint=char-lm.safetensors"),
        *("--input", "tokens: int64[batch, time]"),
        *("--output", "char-lm.onnx"),
    )
    assert exported.returncode == 0, exported.stderr
    words = ("--prompt", "def f", "--length", 50, "--temperature", 0)
    written = spawn("generate", "char-lm.onnx", *words)
    assert written.stdout.decode() == TEXT[:55] + "\n"
