"""Characters to tokens and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnedge.zoo.char_lm.errors import VocabularyError
from rnnedge.zoo.char_lm.vocabulary import UNKNOWN, UNKNOWN_CHARACTER, Vocabulary


def test_tokens_follow_the_code_points_after_the_unknown_character() -> None:
    vocabulary = Vocabulary.of("bab\nab\n")
    assert vocabulary.characters == (UNKNOWN_CHARACTER, "\n", "a", "b")
    np.testing.assert_array_equal(vocabulary.encode("ab\n"), np.array([2, 3, 1]))
    assert vocabulary.encode("ab").dtype == np.int64


def test_a_character_seen_once_counts_as_unknown() -> None:
    assert "c" not in Vocabulary.of("aabbc").characters
    assert "c" in Vocabulary.of("aabbc", minimum_count=1).characters


def test_unknown_characters_are_named_and_decode_to_the_replacement_character() -> None:
    vocabulary = Vocabulary.of("aabb")
    tokens = vocabulary.encode("abéa€")
    assert tokens.tolist() == [1, 2, UNKNOWN, 1, UNKNOWN]
    assert vocabulary.decode(tokens) == "ab\ufffda\ufffd"
    assert vocabulary.missing("abéa€é") == ["é", "€"]


def test_the_replacement_character_in_a_text_is_unknown() -> None:
    vocabulary = Vocabulary.of("a\ufffda\ufffd")
    assert vocabulary.encode("\ufffda").tolist() == [UNKNOWN, 1]
    assert vocabulary.missing("\ufffd") == ["\ufffd"]


@given(st.text())
def test_a_text_survives_encoding_by_its_own_vocabulary(text: str) -> None:
    vocabulary = Vocabulary.of(text, minimum_count=1)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(st.text())
def test_a_vocabulary_survives_its_json(text: str) -> None:
    vocabulary = Vocabulary.of(text, minimum_count=1)
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ('{"a": 1}', "a list was expected, got dict"),
        ("[]", "its first entry must be"),
        ('["a"]', "its first entry must be"),
        (json.dumps([UNKNOWN_CHARACTER, "ab"]), "every entry must be one character"),
        (json.dumps([UNKNOWN_CHARACTER, 3]), "every entry must be one character"),
        (json.dumps([UNKNOWN_CHARACTER, ["a"]]), "every entry must be one character"),
        (json.dumps([UNKNOWN_CHARACTER, "a", "a"]), "a character is there twice"),
    ],
)
def test_what_is_no_vocabulary_is_refused(text: str, why: str) -> None:
    with pytest.raises(VocabularyError, match=why):
        Vocabulary.from_json(text)
