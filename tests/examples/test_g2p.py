"""g2p-en, rebuilt and exported, beside the code of its package."""

import ast
import codecs
import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnedge
from examples.g2p.model import make_decoder, make_encoder
from examples.g2p.pronounce import LONGEST, pronounce
from examples.g2p.symbols import LETTERS, PHONEMES
from examples.packages import shipped

TEXT = """
a accordion activationist algorithm aluminium apostrophe avalanche balloon bizarre blockchain
bough bouquet bureaucracy cache caffeine chaos choir cough crwth cryptocurrency daughter debris
doppelganger don't dough emoji encyclopaedia enough epitome equation espresso etiquette facade
fjord fuchsia gauge genre ghosting gnocchi hiccough hyperbole isthmus jalapeno jinx kayak knight
kubernetes laughter lieutenant llama mnemonic mischievous neural nth numpy o'clock oesophagus
onnxruntime onomatopoeia ought parallel phoneme phlegm pneumonia
pneumonoultramicroscopicsilicovolcanoconiosis podcast psychology pterodactyl queue quinoa quixotic
receipt recurrence rendezvous rhythm rnn sapphire schedule scissors selfie silhouette sixths
squirrel streaming strengths subpoena syzygy tarpaulin thorough through torch tsunami ukulele
vacuum vignette wednesday wrought xylophone yacht zeitgeist
"""
WORDS = TEXT.split()


@pytest.fixture(scope="module")
def original():
    """The package's own class, without the imports that only whole sentences need.

    Its dictionary is empty: every word is left to the network.
    """
    path = shipped("g2p-en", "g2p_en/g2p.py")
    names = {"np": np, "os": os, "codecs": codecs, "dirname": str(path.parent)}
    names["cmudict"] = SimpleNamespace(dict=dict)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is old Python: "\-" in a string, an open file
        module = ast.parse(path.read_text())
        kinds = (ast.ClassDef, ast.FunctionDef)
        module.body = [part for part in module.body if isinstance(part, kinds)]
        exec(compile(module, path, "exec"), names)  # noqa: S102
        return names["G2p"]()


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """The two files, each proven equal to its module."""
    folder = tmp_path_factory.mktemp("g2p")
    letters = {"letters": "int64[batch, time]", "lengths": "int64[batch]"}
    phonemes = {"phonemes": "int64[batch, time]"}
    encoder, decoder = folder / "encoder.onnx", folder / "decoder.onnx"
    assert rnnedge.export(make_encoder(), encoder, inputs=letters, mode="sequence").kept
    assert rnnedge.export(make_decoder(), decoder, inputs=phonemes).kept
    return rnnedge.load(encoder), rnnedge.load(decoder)


@pytest.mark.slow
def test_a_hundred_words_are_pronounced_as_by_the_package(halves, original):
    expected = [original.predict(word) for word in WORDS]
    assert len(set(WORDS)) == 100
    assert max(map(len, expected)) == LONGEST
    assert pronounce(*halves, WORDS) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz'-É7", max_size=30), min_size=1, max_size=5))
@pytest.mark.slow
def test_whatever_else_is_said_beside_it_a_word_is_pronounced_as_alone(halves, original, words):
    assert pronounce(*halves, words) == [original.predict(word) for word in words]


@pytest.mark.slow
def test_the_decoder_is_a_stream_with_one_state(halves):
    encoder, decoder = halves
    assert encoder.contract.mode == "sequence"
    assert [(state.name, state.kind) for state in decoder.contract.states] == [("hidden", "user")]


def test_letters_and_phonemes_have_the_numbers_of_the_package(original):
    assert list(LETTERS) == original.graphemes
    assert list(PHONEMES) == original.phonemes


def test_pronouncing_needs_neither_torch_nor_onnx():
    code = (
        "import sys, examples.g2p.pronounce; print({'torch', 'onnx', 'rnnedge'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
