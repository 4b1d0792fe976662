"""A golden file that cannot be trusted is refused with what, where and fix; never unpickled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import judged_models as judged
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnnedge
from rnnedge.parity import GoldenError
from rnnedge.parity.golden import read_golden, write_golden

TOUCHED = Path("unpickled")


class Trap:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return (TOUCHED.touch, ())


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kept") / "g.npz"
    assert rnnedge.verify(judged.right(), judged.Net(), save_golden=path).passed
    return path


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """The error about a golden file with these contents."""
    monkeypatch.chdir(tmp_path)

    def ask(content=None, model=None):
        if content is not None:
            Path("g.npz").write_bytes(content)
        with pytest.raises(GoldenError) as raised:
            rnnedge.verify_golden(model or judged.right(), "g.npz")
        assert raised.value.where == "g.npz"
        assert raised.value.fix
        return raised.value.what

    return ask


def arrays_of(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def header_of(arrays):
    return json.loads(arrays["header"].tobytes())


def with_header(arrays, header):
    return arrays | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}


def test_a_missing_file(refused):
    assert refused() == "there is no such golden file"


@pytest.mark.parametrize("content", [b"", b"PK", b"not a golden file", b"\x93NUMPY\x01\x00"])
def test_what_is_no_npz(refused, content):
    assert "it is no golden file: no .npz" in refused(content)


def test_an_npz_of_something_else(refused):
    np.savez("g.npz", x=np.zeros(3))
    assert "it has no header that tells so" in refused()
    np.savez("g.npz", header=np.frombuffer(b'{"format": "other"}', np.uint8))
    assert "it has no header that tells so" in refused()


def test_a_pickled_array_is_never_unpickled(refused, kept):
    arrays = arrays_of(kept)
    np.savez("g.npz", allow_pickle=True, **arrays | {"array0": np.array([Trap()], object)})
    assert "it cannot be read (Object arrays cannot be loaded when allow_pickle=False)" in refused()
    assert not TOUCHED.exists()
    np.load("g.npz", allow_pickle=True)["array0"]
    assert TOUCHED.exists()  # the trap works


def test_text_in_place_of_numbers(refused, kept):
    np.savez("g.npz", **arrays_of(kept) | {"array0": np.array(["text"])})
    assert refused().endswith("its 'array0' is not an array of numbers")


def test_an_array_that_is_missing_and_one_too_many(refused, kept):
    arrays = arrays_of(kept)
    np.savez("g.npz", **arrays | {"extra": np.zeros(2)})
    assert refused().endswith("it holds what its header does not name: extra")
    del arrays["array1"]
    np.savez("g.npz", **arrays)
    assert refused().endswith("it holds no 'array1'")


def test_a_newer_format(refused, kept):
    arrays = arrays_of(kept)
    np.savez("g.npz", **with_header(arrays, header_of(arrays) | {"version": 2}))
    assert refused() == "golden file version 2 found, this release reads 1"


def test_another_model(refused, kept):
    content = kept.read_bytes()
    wrong = judged.wrong_in_some_pushes()
    assert refused(content, wrong).endswith("and weights or graph are others")
    assert refused(content, judged.without_cell()).endswith(
        "and it takes or gives other tensors, too"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cases": []}, "its header does not read (it has no cases)"),
        ({"cases": None}, "its header does not read"),
        ({"versions": {"torch": 2}}, "its header does not read (text expected, got int)"),
        ({"settings": {"seed": 0, "frames": 3}}, "it holds no 'batches'"),
        ({"torch_errors": {"output": "array999"}}, "it holds no 'array999'"),
    ],
)
def test_a_header_that_is_not_one(refused, kept, change, said):
    arrays = arrays_of(kept)
    header = header_of(arrays) | change
    np.savez("g.npz", **with_header(arrays, header))
    assert said in refused()


def test_errors_that_would_allow_anything(refused, kept):
    golden = read_golden(kept)
    for value in (np.inf, np.nan, -1.0):
        write_golden(Path("g.npz"), replace(golden, own={"output": np.full(2, value)}))
        assert refused().endswith("PyTorch's errors of 'output' are none")
    write_golden(Path("g.npz"), replace(golden, own={"output": np.zeros(3)}))
    assert refused().endswith("PyTorch's errors of 'output' are none")
    write_golden(Path("g.npz"), replace(golden, own={"nothing": np.zeros(2)}))
    assert refused().endswith("PyTorch's errors of 'nothing' are none")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"batch": 3}, "a case of 'long run' does not fit the model"),
        ({"lengths": (1, 2)}, "a case of 'long run' does not fit the model"),
        ({"inputs": {"x": np.zeros((1, 1000, 3))}}, "what it feeds does not fit the model"),
        ({"inputs": {}}, "what it feeds does not fit the model"),
        ({"start": {"rnn.h": np.zeros((1, 1, 7), np.float32)}}, "what it feeds does not fit"),
    ],
)
def test_a_case_that_does_not_fit(refused, kept, fields, said):
    golden = read_golden(kept)
    last = replace(golden.cases[-1], **fields)
    write_golden(Path("g.npz"), replace(golden, cases=(*golden.cases[:-1], last)))
    assert said in refused()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_noticed_or_changes_nothing(kept, tmp_path, data):
    content = bytearray(kept.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "g.npz"
    path.write_bytes(content)
    try:
        golden = read_golden(path)
    except GoldenError:
        return
    write_golden(path, golden)
    write_golden(tmp_path / "same.npz", read_golden(kept))
    assert path.read_bytes() == (tmp_path / "same.npz").read_bytes()


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_the_header_says_it_is_an_answer_or_a_refusal(kept, tmp_path, data):
    arrays = arrays_of(kept)
    header = header_of(arrays)
    node, keys = header, list(header)
    while True:
        key = data.draw(st.sampled_from(keys))
        below = node[key]
        if not isinstance(below, (dict, list)) or not below or data.draw(st.booleans()):
            break
        node, keys = below, list(below) if isinstance(below, dict) else list(range(len(below)))
    others = st.one_of(
        st.none(), st.booleans(), st.integers(-3, 300), st.floats(), st.just([]), st.just({}),
        st.sampled_from(["", "array1", "array9", "output", "rnn.h"]), st.just([1, 2]),
        st.just({"x": "array0"}), st.just({"output": "array3"}),
    )  # fmt: skip
    node[key] = data.draw(others)
    path = tmp_path / "g.npz"
    np.savez(path, **with_header(arrays, header))
    try:
        report = rnnedge.verify_golden(judged.right(), path)
    except GoldenError:
        return
    json.dumps(report.to_dict())
    assert str(report)
