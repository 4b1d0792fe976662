"""Reading a text, dividing it, laying it out in streams, and counting its pairs."""

from __future__ import annotations

import math
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnedge.zoo.char_lm.baseline import Bigram
from rnnedge.zoo.char_lm.corpus import Corpus
from rnnedge.zoo.char_lm.errors import TextError
from rnnedge.zoo.char_lm.streams import (
    Streams,
    chunks,
    contiguous_streams,
    evaluation_streams,
)
from rnnedge.zoo.char_lm.text import read_standard_library, read_text, split


def test_a_text_is_read_up_to_the_maximum_with_newlines(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffäb\r\ncd\rëf".encode())
    assert read_text(path, 100) == "äb\ncd\nëf"
    assert read_text(path, 3) == "äb\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the text is empty"),
        (b"ab\xff\xfecd", "UTF-8 text was expected, got the byte 0xff"),
        (None, "the text cannot be read: no such file or directory"),
    ],
)
def test_a_file_that_is_no_text_is_refused(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TextError, match=what) as caught:
        read_text(path, 100)
    assert caught.value.where == str(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="cannot be read"):
        read_text(tmp_path, 100)


def test_the_standard_library_is_its_files_in_the_order_of_their_names() -> None:
    text = read_standard_library(200_000)
    first, second = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:2]
    begin = first.read_text(encoding="utf-8") + second.read_text(encoding="utf-8")
    assert len(text) == 200_000
    assert text.startswith(begin[:200_000])


def test_a_python_without_sources_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(TextError, match="without the sources") as caught:
        read_standard_library(10)
    assert "--text" in caught.value.fix


def test_validation_is_the_end_of_the_text() -> None:
    assert split("abcdefghij") == ("abcdefghi", "j")
    assert split("abcdefghij", 0.4) == ("abcdef", "ghij")


@given(length=st.integers(2, 200), batch=st.integers(1, 20), unroll=st.integers(1, 30))
def test_chunks_read_each_stream_from_left_to_right_without_a_gap(
    length: int, batch: int, unroll: int
) -> None:
    tokens = np.arange(length)
    if length <= batch:
        with pytest.raises(TextError, match="too short"):
            contiguous_streams(tokens, batch)
        return
    pieces = list(chunks(contiguous_streams(tokens, batch), unroll))
    inputs = np.concatenate([piece.inputs for piece in pieces], axis=1)
    targets = np.concatenate([piece.targets for piece in pieces], axis=1)
    used = batch * ((length - 1) // batch)
    np.testing.assert_array_equal(inputs.ravel(), tokens[:used])
    np.testing.assert_array_equal(targets, inputs + 1)
    assert all(piece.inputs.shape[1] == unroll for piece in pieces[:-1])


@pytest.mark.parametrize(("length", "batch"), [(2, 1), (300, 1), (513, 2), (10_000_000, 64)])
def test_a_short_validation_text_is_evaluated_in_few_streams(length: int, batch: int) -> None:
    assert evaluation_streams(np.zeros(length, np.int64)).inputs.shape[0] == batch


def test_validation_characters_that_training_lacks_are_unknown() -> None:
    corpus = Corpus.of("ab" * 45 + "abzabzabab")
    assert corpus.vocabulary.characters[1:] == ("a", "b")
    assert corpus.unknown_characters == 2


def test_bigram_bits_equal_a_count_by_hand() -> None:
    # a b a b a a: after a come b, b, a; after b come a, a. Three tokens, one never seen.
    bigram = Bigram(np.array([1, 2, 1, 2, 1, 1]), size=3)
    p_ab, p_ba, p_bb = (2 + 1) / 6, (2 + 1) / 5, (0 + 1) / 5
    expected = -(math.log2(p_ab) + math.log2(p_bb) + math.log2(p_ba)) / 3
    judged = Streams(np.array([[1, 2, 2]]), np.array([[2, 2, 1]]))
    assert bigram.bits_per_character(judged) == pytest.approx(expected, rel=1e-12)


def test_bigram_probabilities_sum_to_one_and_none_is_zero() -> None:
    log2_probability = Bigram(np.array([0, 1, 1, 3]), size=5).log2_probability
    np.testing.assert_allclose(np.exp2(log2_probability).sum(axis=1), 1, rtol=1e-12)
    assert np.isfinite(log2_probability).all()
