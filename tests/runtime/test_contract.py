"""The contract as JSON: what is read back, and what is refused."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnedge_runtime import Contract, ContractError, Port, Signal, State
from rnnedge_runtime.contract import read

FULL = Contract(
    mode="stream",
    inputs=(
        Port("x", "float32", ("batch", "time", 80), 0, 1),
        Port("speaker", "float16", ("batch", 16), 0, None),
    ),
    outputs=(
        Port(
            "y", "float32", ("batch", "2*time", 3), 0, 1, Fraction(1, 2), 4, ((3, 5, 2), (1, -1, 3))
        ),
        Port("last", "int64", ("batch",), 0, None),
    ),
    states=(
        State("rnn.h", "rnn.h", "rnn.h.next", "float32", (1, "batch", 8), 1, "hidden"),
        State("c", "c", "c.next", "float32", ("6*batch", 2), 0, "context", 2, fill=-1.5),
        State("u", "u", "u.next", "int8", (4,), None, "user", tensor="rnnedge.tensor.u", delay=5),
        State("n", "n", "n.next", "int64", ("batch",), 0, "position"),
        State("end", "end", "end.next", "int64", (), None, "length", fill=2**62),
    ),
    source={"class": "Net", "opset": 18},
    parity={"max_abs": 1e-7},
    signal=Signal(16000, 160, 400),
    chunk_multiple=4,
    chunk_most=8,
)


def _changed(path, value):
    """FULL's JSON with one field changed; `value` may be `...` to leave it out."""
    data = json.loads(FULL.to_json())
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(data)


def test_reading_is_the_inverse_of_writing():
    assert read(FULL.to_json()) == FULL


def test_the_json_is_plain_for_readers_in_other_languages():
    def refuse(name):
        raise AssertionError(name)

    data = json.loads(FULL.to_json(), parse_constant=refuse)
    assert data["outputs"][0]["ratio"] == "1/2"
    assert data["states"][1]["initial"] == {"fill": -1.5}
    assert data["states"][2]["initial"] == {"tensor": "rnnedge.tensor.u"}


@pytest.mark.parametrize("source", [{"x": float("nan")}, {"x": float("inf")}, {"x": object()}])
def test_what_json_cannot_hold_is_not_written(source):
    contract = replace(FULL, source=source)
    with pytest.raises(ContractError, match="it cannot be written as JSON"):
        contract.to_json()


def test_unknown_fields_are_left_alone():
    assert read(_changed(["later"], {"added": 1})) == FULL


def test_optional_fields_have_defaults():
    contract = read(
        json.dumps(
            {
                "version": 1,
                "mode": "stream",
                "inputs": [
                    {
                        "name": "x",
                        "dtype": "float32",
                        "shape": ["batch", "time"],
                        "batch_axis": 0,
                        "time_axis": 1,
                    }
                ],
                "outputs": [{"name": "y", "dtype": "float32", "shape": []}],
                "states": [],
                "source": {},
            }
        )
    )
    assert contract.outputs[0] == Port("y", "float32", (), None, None, Fraction(1), 0)
    assert contract.outputs[0].length == ()
    assert (contract.parity, contract.signal) == (None, None)
    assert (contract.version, contract.chunk_multiple) == (1, 1)


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_are_read_and_written_as_they_are(version):
    contract = read(_changed(["version"], version))
    assert contract.version == version
    assert read(contract.to_json()) == contract


def test_a_length_is_what_its_steps_give_never_below_0():
    port = FULL.outputs[0]
    assert [port.length_of(frames) for frames in range(7)] == [0, 1, 1, 2, 2, 3, 3]
    by_hand = [max(0, ((3 * n + 5) // 2 - 1) // 3) for n in range(7)]
    assert [port.length_of(frames) for frames in range(7)] == by_hand
    shorter = replace(port, length=((1, -3, 1),))
    assert [shorter.length_of(frames) for frames in (0, 2, 3, 10)] == [0, 0, 0, 7]


def test_without_steps_a_length_is_the_ratios_rounded_down():
    port = replace(FULL.outputs[0], length=(), ratio=Fraction(2, 3))
    assert [port.length_of(frames) for frames in range(7)] == [0, 0, 1, 2, 2, 3, 4]


def test_a_run_gives_whole_frames():
    with pytest.raises(ContractError, match="runs of 3 frames give 3/2 frames"):
        replace(FULL, chunk_multiple=3)


@pytest.mark.parametrize("version", [0, 3, 99])
def test_another_version_is_refused_and_says_what_to_install(version):
    with pytest.raises(ContractError, match=f"contract version {version} found") as caught:
        read(_changed(["version"], version))
    assert "newer rnnedge-runtime" in caught.value.fix


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[" * 100_000, '{"version": NaN}', "1" * 5000, "\x00", "\ud800"],
    ids=repr,
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ContractError, match="it is not JSON"):
        read(text)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_json_that_is_no_object_is_refused(text):
    with pytest.raises(ContractError, match="an object was expected"):
        read(text)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], ..., "int expected, got nothing"),
        (["version"], "1", "int expected, got str"),
        (["version"], True, "int expected, got bool"),
        (["mode"], "batch", "'batch' is not one of"),
        (["inputs"], [], "at least one input and one output"),
        (["outputs"], [], "at least one input and one output"),
        (["inputs"], {}, "list expected, got dict"),
        (["inputs", 0], 1, "an object was expected, got int"),
        (["inputs", 0, "name"], "", "a name is empty"),
        (["inputs", 0, "name"], "speaker", "names used twice: speaker"),
        (["inputs", 0, "name"], "rnn.h", "names used twice: rnn.h"),
        (["outputs", 0, "name"], "c.next", "names used twice: c.next"),
        (["states", 0, "name"], "c", "names used twice: c"),
        (["inputs", 0, "dtype"], "float", "unknown element type 'float'"),
        (["states", 0, "dtype"], "string", "unknown element type 'string'"),
        (["inputs", 0, "shape"], ["batch", "time", -1], "-1 is neither a size nor a symbol"),
        (["inputs", 0, "shape"], ["batch", "time", True], "True is neither a size"),
        (["inputs", 0, "shape"], ["batch", "time", 2**31], "is neither a size nor a symbol"),
        (["inputs", 0, "shape"], ["batch", "time", "a b"], "'a b' is neither a size"),
        (["inputs", 0, "shape"], ["batch", "time", "0*n"], "'0\\*n' is neither a size"),
        (["inputs", 0, "shape"], ["batch", "time", []], "is neither a size nor a symbol"),
        (["inputs", 0, "batch_axis"], None, "batch_axis is None, but the shape"),
        (["inputs", 0, "batch_axis"], 2, "batch_axis is 2, but the shape"),
        (["inputs", 0, "batch_axis"], -3, "batch_axis is -3, but the shape"),
        (["inputs", 0, "time_axis"], 0, "time_axis is 0, but the shape"),
        (["inputs", 0, "shape"], ["batch", "time", "time"], "time_axis is 1, but the shape"),
        (["inputs", 0, "delay"], 1, "only outputs have a ratio, a delay and a length"),
        (["inputs", 0, "ratio"], "2", "only outputs have a ratio, a delay and a length"),
        (["outputs", 0, "ratio"], "0", "'0' is not a ratio"),
        (["outputs", 0, "ratio"], "-1", "'-1' is not a ratio"),
        (["outputs", 0, "ratio"], "1e999999999", "is not a ratio"),
        (["outputs", 0, "ratio"], "1/0", "is not a ratio"),
        (["outputs", 0, "ratio"], 1, "str expected, got int"),
        (["outputs", 0, "delay"], -1, "delay -1 is below 0"),
        (["inputs", 0, "length"], [[1, 0, 1]], "only outputs have a ratio, a delay and a length"),
        (["outputs", 0, "length"], [[1, 0]], "\\[1, 0\\] is not a step \\[mul, add, div\\]"),
        (["outputs", 0, "length"], [3], "3 is not a step"),
        (["outputs", 0, "length"], [[1, 0.5, 1]], "is not a step"),
        (["outputs", 0, "length"], [[1, True, 1]], "is not a step"),
        (["outputs", 0, "length"], {}, "list expected, got dict"),
        (["outputs", 0, "length"], [[0, 1, 1]], "\\[0, 1, 1\\] is no step of a length"),
        (["outputs", 0, "length"], [[1, 1, 0]], "\\[1, 1, 0\\] is no step of a length"),
        (["outputs", 0, "length"], [[1, -(2**31), 1]], "is no step of a length"),
        (["chunk_multiple"], 0, "chunk_multiple is 0"),
        (["chunk_multiple"], 2**31, "chunk_multiple is 2147483648"),
        (["chunk_multiple"], 2.0, "int expected, got float"),
        (["chunk_most"], 6, "6 is no multiple of chunk_multiple 4"),
        (["chunk_most"], 0, "0 is no multiple of chunk_multiple"),
        (["chunk_most"], 2**32, "is no multiple of chunk_multiple"),
        (["chunk_multiple"], 1, "runs of 1 frames give 1/2 frames, not a whole number"),
        (["states", 0, "delay"], -1, "delay -1 is below 0"),
        (["states", 0, "kind"], "position", "a position is int64, one number per row, not float32"),
        (["states", 3, "dtype"], "int32", "a position is int64, one number per row, not int32"),
        (["states", 3, "shape"], ["2*batch"], "a position is int64, one number per row"),
        (["states", 4, "shape"], [2], "a length is int64, one number per row"),
        (["states", 0, "kind"], "memory", "'memory' is not one of"),
        (["states", 0, "shape"], [1, "batch", "time"], "cannot grow with 'time'"),
        (["states", 0, "shape"], [1, "batch", "n"], "cannot grow with 'n'"),
        (["states", 1, "batch_outer"], 4, "batch_outer 4 does not divide 6"),
        (["states", 1, "batch_outer"], 0, "batch_outer 0 does not divide 6"),
        (["states", 1, "initial"], ..., "dict expected, got nothing"),
        (["states", 1, "initial"], {}, "int or float expected, got nothing"),
        (["states", 1, "initial"], {"fill": "0"}, "int or float expected, got str"),
        (["states", 1, "initial"], {"fill": 10**400}, "the number is too large"),
        (["states", 1, "initial"], {"fill": 1e39}, "is not a float32"),
        (["states", 2, "initial"], {"fill": 0.5}, "fill 0.5 is not a int8"),
        (["states", 2, "initial"], {"fill": 200}, "fill 200.0 is not a int8"),
        (["states", 2, "initial"], {"tensor": "u"}, "does not begin with 'rnnedge.tensor.'"),
        (["mode"], "sequence", "a sequence model carries no states"),
        (["source"], [], "dict expected, got list"),
        (["parity"], 1, "dict expected, got int"),
        (["signal"], {}, "int expected, got nothing"),
        (["signal", "hop_samples"], 0, "hop_samples is 0, below 1"),
        (["signal", "sample_rate_hz"], 0.5, "int expected, got float"),
    ],
    ids=str,
)
def test_a_contract_that_breaks_a_rule_is_refused(path, value, message):
    with pytest.raises(ContractError, match=message) as caught:
        read(_changed(path, value))
    assert "'rnnedge.contract'" in caught.value.where


def test_a_stream_needs_an_input_with_a_time_axis():
    with pytest.raises(ContractError, match="a stream needs an input with a time axis"):
        replace(FULL, inputs=FULL.inputs[1:])


def test_a_fill_must_be_finite_and_a_ratio_above_zero():
    state = State("h", "h", "h.next", "float32", (1,), None, "hidden", fill=float("inf"))
    with pytest.raises(ContractError, match="fill inf is not finite"):
        replace(FULL, states=(state,))
    output = Port("y", "float32", ("time",), None, 0, Fraction(0))
    with pytest.raises(ContractError, match="ratio 0 is not above 0"):
        replace(FULL, outputs=(output,))


def test_a_bool_state_is_filled_with_0_or_1():
    state = State("h", "h", "h.next", "bool", (1,), None, "hidden", fill=2)
    with pytest.raises(ContractError, match="fill 2 is not a bool"):
        replace(FULL, states=(state,))


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | st.sampled_from(["", "batch", "time", "2*batch", "x", "float32", "hidden", "1/2", "stream"])
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["fill", "tensor", "name", "shape"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def _paths(data, path=()):
    yield path
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data if isinstance(data, list) else [])
    )
    for key, value in items:
        yield from _paths(value, (*path, key))


PATHS = [path for path in _paths(json.loads(FULL.to_json())) if path]


def _is_fine_or_refused(text):
    with contextlib.suppress(ContractError):
        contract = read(text)
        assert read(contract.to_json()) == contract


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(PATHS), value=_VALUES | st.just(...))
def test_any_change_to_a_field_gives_a_valid_contract_or_a_contract_error(path, value):
    _is_fine_or_refused(_changed(path, value))


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(FULL.to_json()) - 1), char=st.characters(max_codepoint=255))
def test_any_changed_character_gives_a_valid_contract_or_a_contract_error(place, char):
    text = FULL.to_json()
    _is_fine_or_refused(text[:place] + char + text[place + 1 :])


@settings(max_examples=100, deadline=None)
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_gives_a_valid_contract_or_a_contract_error(text):
    _is_fine_or_refused(text)
