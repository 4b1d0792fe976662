"""Adopting stateful ONNX files: what is said of them is checked; what holds becomes a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import rnnedge
from rnnedge.adoption import AdoptionError, AdoptOptions, adopt
from rnnedge.adoption.options import parse_axes

PAIR = {"gru.h": "gru.h.next"}


def adopted(path: Path, *axes: str, **said: Any) -> rnnedge.Model:
    options = AdoptOptions(axes=parse_axes(axes), **({"states": {"s": "s.next"}} | said))
    return rnnedge.load(adopt(path, options).model)


def refused(path: Path, *axes: str, **said: Any) -> AdoptionError:
    with pytest.raises(AdoptionError) as caught:
        adopted(path, *axes, **said)
    assert caught.value.what
    assert caught.value.where
    assert caught.value.fix
    return caught.value


def port(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def save(path: Path, nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any]) -> Path:
    numbers = {"one": [1], "two": [2], "zero": [0], "last": [-1]}
    stored = [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in numbers.items()]
    stored += [
        numpy_helper.from_array(np.array(v, np.float32), n)
        for n, v in {"nought": 0.0, "twice": 2.0, "half": 0.5}.items()
    ]
    graph = helper.make_graph(nodes, "others", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def sums(batch: Any = "batch", time: Any = "time") -> tuple[list[Any], list[Any], list[Any]]:
    """``y[t] = s + x[0] + ... + x[t]``, and the last of it as next state."""
    nodes = [
        helper.make_node("CumSum", ["x", "one"], ["sums"]),
        helper.make_node("Unsqueeze", ["s", "one"], ["s.frame"]),
        helper.make_node("Add", ["sums", "s.frame"], ["y"]),
        helper.make_node("ReduceSum", ["x", "one"], ["all"], keepdims=0),
        helper.make_node("Add", ["s", "all"], ["s.next"]),
    ]
    inputs = [port("x", [batch, time, 2]), port("s", [batch, 2])]
    return nodes, inputs, [port("y", [batch, time, 2]), port("s.next", [batch, 2])]


@pytest.fixture
def sum_file(tmp_path) -> Path:
    return save(tmp_path / "sums.onnx", *sums())


@pytest.fixture
def odd_file(tmp_path) -> Path:
    """Beside the sum and its state: inputs and outputs that are no states."""
    nodes, inputs, outputs = sums()
    nodes += [
        helper.make_node("Mul", ["s", "twice"], ["doubled"]),
        helper.make_node("Mul", ["s", "nought"], ["always0"]),
        helper.make_node("Identity", ["s"], ["handed_on"]),
        helper.make_node("Identity", ["s.next"], ["again"]),
        helper.make_node("Cast", ["s"], ["rounded"], to=TensorProto.INT64),
        helper.make_node("Concat", ["s", "s"], ["wide"], axis=1),
        helper.make_node("Identity", ["x"], ["all_frames"]),
    ]
    inputs += [port("unused", ["batch", 2])]
    outputs += [port(n, ["batch", 2]) for n in ("doubled", "always0", "handed_on", "again")]
    outputs += [port("rounded", ["batch", 2], TensorProto.INT64), port("wide", ["batch", 4])]
    outputs += [port("all_frames", ["batch", "time", 2])]
    return save(tmp_path / "odd.onnx", nodes, inputs, outputs)


def test_a_named_pair_makes_a_stream_that_equals_pytorch(bare_file, gru) -> None:
    model = adopted(bare_file, states=PAIR)
    x = np.random.default_rng(0).standard_normal((3, 11, 3))
    stream = model.stream(batch=3)
    got = np.concatenate(
        [stream.push(x[:, a:b].astype(np.float32)) for a, b in ((0, 1), (1, 11))], 1
    )
    with torch.no_grad():
        exact = gru.double()(torch.from_numpy(x))[0].numpy()
        gru.float()
    np.testing.assert_allclose(got, exact, atol=2e-6)
    (state,) = model.contract.states
    assert (state.name, state.kind, state.shape, state.batch_axis) == (
        "gru.h", "hidden", (1, "batch", 4), 1,
    )  # fmt: skip


def test_the_original_is_not_changed_and_what_was_found_is_stored(bare_file) -> None:
    before = bare_file.read_bytes()
    model = adopted(bare_file, states=PAIR)
    assert bare_file.read_bytes() == before
    parity = model.contract.parity
    assert parity["passed"] is True
    assert [check["name"] for check in parity["checks"]] == [
        "random chunks", "rows apart", "one row reset", "state gru.h matters",
    ]  # fmt: skip
    assert model.contract.source["adopted"] == "bare.onnx"


def test_a_file_that_was_adopted_wrongly_can_be_adopted_again(gru_file) -> None:
    options = AdoptOptions(states=PAIR, fills={"gru.h": 0.5})
    model = rnnedge.load(adopt(gru_file, options).model)
    assert model.contract.states[0].fill == 0.5


def test_without_pairs_those_of_like_names_are_proposed(bare_file, tmp_path) -> None:
    error = refused(bare_file, states={})
    assert "'gru.h' -> 'gru.h.next'" in error.what
    assert "--state gru.h=gru.h.next" in error.fix
    nodes = [helper.make_node("Add", ["x", "q"], ["y"])]
    path = save(tmp_path / "no.onnx", nodes, [port("x", [2]), port("q", [2])], [port("y", [2])])
    error = refused(path, states={})
    assert "no input looks like an output" in error.what
    assert "`rnnedge lift`" in error.fix


@pytest.mark.parametrize(
    ("names", "proposed"),
    [
        (("state", "stateN"), True),
        (("h0", "hn"), True),
        (("c", "cn"), True),
        (("past_key", "present_key"), True),
        (("cache_in", "cache_out"), True),
        (("h_in", "c_out"), False),
    ],
)
def test_names_are_alike_without_the_words_for_before_and_after(tmp_path, names, proposed) -> None:
    nodes = [helper.make_node("Identity", [names[0]], [names[1]])]
    path = save(tmp_path / "names.onnx", nodes, [port(names[0], [2])], [port(names[1], [2])])
    assert (f"{names[0]!r} -> {names[1]!r}" in refused(path, states={}).what) is proposed


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ({"no": "s.next"}, "the graph has no input 'no'"),
        ({"s": "no"}, "the graph has no output 'no'"),
        ({"s": "s.next", "unused": "s.next"}, "is the next value of two states"),
        ({"s": "rounded"}, "'s' is float32, 'rounded' is int64"),
        ({"s": "wide"}, "these shapes are never equal"),
        ({"s": "all_frames"}, "these shapes are never equal"),
        ({"s": "s.next", "unused": "again"}, "the state has no effect"),
        ({"s": "always0"}, "is the same for whatever comes in"),
        ({"s": "handed_on"}, "hands 's' on unchanged"),
        ({"s": "doubled"}, "it differs by"),
    ],
)
def test_a_wrong_pair_is_refused(odd_file, pairs, said) -> None:
    assert said in refused(odd_file, states=pairs).what


def test_the_hidden_and_the_cell_state_of_an_lstm_are_not_exchanged(tmp_path) -> None:
    weights = [
        numpy_helper.from_array(np.ones((1, 12, 2), np.float32), "W"),
        numpy_helper.from_array(np.ones((1, 12, 3), np.float32), "R"),
    ]
    nodes = [helper.make_node("LSTM", ["x", "W", "R", "", "", "a", "b"], ["", "p", "q"], "lstm",
                              hidden_size=3)]  # fmt: skip
    state = [1, "batch", 3]
    graph = helper.make_graph(
        nodes, "g", [port("x", ["time", "batch", 2]), port("a", state), port("b", state)],
        [port("p", state), port("q", state)], weights,
    )  # fmt: skip
    path = tmp_path / "lstm.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    error = refused(path, states={"a": "q", "b": "p"})
    assert error.what == ("'a' is the hidden state of node 'lstm', but 'q' is its cell state")
    assert "exchange" in error.fix


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ("x: batch, time", "2 axes are named, the graph has 3"),
        ("x: batch, time, 3", "axis 2 of 'x' is 2 in the graph, and 3 in --axes"),
        ("x: batch, 5, 2", "no input has a time axis"),
        ("x: batch, time, batch", "'batch' stands twice"),
        ("x: batch, when, 2", "'when' is neither a size"),
        ("x", "names no tensor"),
        ("z: batch, time", "'z' is none of the inputs and outputs"),
        ("s: 4, batch", "axis 1 of 's' is 2 in the graph, and batch in --axes"),
        ("s: time, 2", "a state has no time axis"),
        ("y: time, batch, 2", "output 'y' has axes batch, time, 2 when it is run"),
    ],
)
def test_axes_that_contradict_the_file_are_refused(sum_file, axes, said) -> None:
    assert said in refused(sum_file, axes).what


def test_batch_and_time_exchanged_do_not_run(tmp_path) -> None:
    path = save(tmp_path / "sums.onnx", *sums(None, None))
    error = refused(path, "x: time, batch, 2", "s: batch, 2")
    assert "the next value of 's' has shape [3, 2], the state itself [1, 2]" in error.what


def test_an_axis_without_a_telling_name_has_to_be_named(tmp_path) -> None:
    path = save(tmp_path / "sums.onnx", *sums("rows", "time"))
    error = refused(path)
    assert "axis 0 of 'x' is called 'rows'" in error.what
    assert '--axes "x: batch|time|SIZE' in error.fix
    model = adopted(path, "x: batch, time, 2")
    assert model.contract.states[0].shape == ("batch", 2)


def test_usual_words_for_batch_and_time_need_no_naming(tmp_path) -> None:
    model = adopted(save(tmp_path / "sums.onnx", *sums("N", "seq_len")))
    assert model.contract.inputs[0].shape == ("batch", "time", 2)
    assert model.contract.outputs[0].shape == ("batch", "time", 2)


def test_rows_that_see_each_other_are_refused(tmp_path) -> None:
    nodes, inputs, outputs = sums()
    nodes[2] = helper.make_node("Add", ["sums", "s.frame"], ["own"])
    nodes += [
        helper.make_node("ReduceMean", ["own"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["own", "mean"], ["y"]),
    ]
    error = refused(save(tmp_path / "mixed.onnx", nodes, inputs, outputs))
    assert "in a row alone" in error.what
    assert "mixes the rows" in error.fix


def test_a_file_that_forgets_is_told_from_one_that_streams(tmp_path) -> None:
    nodes, inputs, outputs = sums()
    nodes += [helper.make_node("ReduceMean", ["y"], ["level"], axes=[1]),
              helper.make_node("Sub", ["y", "level"], ["z"])]  # fmt: skip
    path = save(
        tmp_path / "mean.onnx", nodes, inputs, [port("z", ["batch", "time", 2]), outputs[1]]
    )
    error = refused(path)
    assert "in random chunks" in error.what
    assert "'N*time'" in error.fix


def test_a_state_starts_from_a_fill_or_from_a_stored_row(sum_file) -> None:
    x = np.ones((2, 1, 2), np.float32)
    filled = adopted(sum_file, fills={"s": 0.5}).stream(batch=2)
    assert filled.push(x)[:, 0].tolist() == [[1.5, 1.5]] * 2
    row = np.array([[1.0, -2.0]])
    stored = adopted(sum_file, fills={"s": row}).stream(batch=2)
    assert stored.push(x)[:, 0].tolist() == [[2.0, -1.0]] * 2


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"fills": {"x": 1.0}}, "'x' is none of the state inputs"),
        ({"fills": {"s": float("nan")}}, "cannot be held as float32"),
        ({"fills": {"s": np.ones((3, 2))}}, "the value has shape [3, 2]"),
        ({"values": {"s": 1.0}}, "'s' is none of the data inputs"),
        ({"values": {"no": 1.0}}, "'no' is none of the data inputs"),
        ({"values": {"x": 1.0}}, "the value has shape []"),
        ({"contexts": {"s": 3}}, "'s' is none of the data inputs"),
        ({"contexts": {"no": 3}}, "'no' is none of the data inputs"),
    ],
)
def test_values_that_do_not_fit_are_refused(sum_file, said, what) -> None:
    assert what in refused(sum_file, **said).what


def test_an_input_that_never_changes_is_stored(tmp_path) -> None:
    nodes, inputs, outputs = sums()
    nodes[2] = helper.make_node("Add", ["sums", "s.frame"], ["plain"])
    nodes += [helper.make_node("Cast", ["gain"], ["g"], to=TensorProto.FLOAT),
              helper.make_node("Mul", ["plain", "g"], ["y"])]  # fmt: skip
    inputs += [port("gain", [], TensorProto.INT64)]
    path = save(tmp_path / "gain.onnx", nodes, inputs, outputs)
    model = adopted(path, values={"gain": 3})
    assert [p.name for p in model.contract.inputs] == ["x"]
    assert model.stream().push(np.ones((1, 2, 2), np.float32))[0, :, 0].tolist() == [3.0, 6.0]
    assert "1.5 cannot be held as int64" in refused(path, values={"gain": 1.5}).what


def one_frame() -> tuple[list[Any], list[Any], list[Any]]:
    """``y = x[1:] + x[:-1]``, four entries in and three out, plus what the state holds: x's sum."""
    nodes = [
        helper.make_node("Slice", ["x", "zero", "last", "one"], ["early"]),
        helper.make_node("Constant", [], ["end"], value_ints=[9]),
        helper.make_node("Slice", ["x", "one", "end", "one"], ["late"]),
        helper.make_node("Add", ["early", "late"], ["pairs"]),
        helper.make_node("Add", ["pairs", "s"], ["y"]),
        helper.make_node("ReduceMean", ["y"], ["level"], axes=[1]),
        helper.make_node("ReduceSum", ["late", "one"], ["all"], keepdims=1),
        helper.make_node("Add", ["s", "all"], ["s.next"]),
    ]
    inputs = [port("x", ["batch", 4]), port("s", ["batch", 1])]
    return (
        nodes,
        inputs,
        [port("y", [None, None]), port("level", [None, 1]), port("s.next", ["batch", 1])],
    )


def by_hand(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The formula of `one_frame`, with a context of one sample before each three."""
    padded, total, out, levels = np.pad(x, ((0, 0), (1, 0))), 0.0, [], []
    for start in range(0, x.shape[1], 3):
        piece = padded[:, start : start + 4]
        y = piece[:, 1:] + piece[:, :-1] + total
        out.append(y)
        levels.append(y.mean(1, keepdims=True))
        total = total + piece[:, 1:].sum(1, keepdims=True)
    return np.concatenate(out, 1), np.stack(levels, 1)


def test_a_file_for_one_frame_takes_any_number_and_keeps_its_context(tmp_path) -> None:
    path = save(tmp_path / "one.onnx", *one_frame())
    options = AdoptOptions(
        states={"s": "s.next"}, contexts={"x": 1},
        axes=parse_axes(["x: batch, 3*time", "y: batch, 3*time"]),
    )  # fmt: skip
    result = adopt(path, options)
    model = rnnedge.load(result.model)
    shapes = {p.name: p.shape for p in (*model.contract.inputs, *model.contract.outputs)}
    assert shapes == {
        "x": ("batch", "3*time"), "y": ("batch", "3*time"), "level": ("batch", "time", 1),
    }  # fmt: skip
    assert {s.name: s.shape for s in model.contract.states} == {
        "s": ("batch", 1), "x.context": ("batch", 1),
    }  # fmt: skip
    assert any("Scan" in note for note in result.notes)
    x = np.random.default_rng(0).standard_normal((2, 30)).astype(np.float32)
    stream = model.stream(batch=2)
    parts = [stream.push(x[:, a:b]) for a, b in ((0, 3), (3, 15), (15, 15), (15, 30))]
    y, level = by_hand(x.astype(np.float64))
    np.testing.assert_allclose(np.concatenate([p["y"] for p in parts], 1), y, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([p["level"] for p in parts], 1), level, atol=1e-5)


@pytest.mark.parametrize(
    ("axes", "contexts", "said"),
    [
        ("x: batch, time", {}, "axis 1 takes 4 entries in each run; a frame of 1"),
        ("x: batch, 3*time", {}, "a frame of 3 with a context of 0 gives 3"),
        ("x: batch, 3*time", {"x": 2}, "a frame of 3 with a context of 2 gives 5"),
    ],
)
def test_a_frame_and_its_context_have_to_fill_the_input(tmp_path, axes, contexts, said) -> None:
    path = save(tmp_path / "one.onnx", *one_frame())
    assert said in refused(path, axes, contexts=contexts).what


def test_a_context_needs_a_time_axis_and_names_that_are_free(tmp_path) -> None:
    nodes, inputs, outputs = sums()
    inputs += [port("bias", ["batch", 1, 2])]
    nodes[0] = helper.make_node("CumSum", ["x", "one"], ["plain"])
    nodes.insert(1, helper.make_node("Add", ["plain", "bias"], ["sums"]))
    path = save(tmp_path / "bias.onnx", nodes, inputs, outputs)
    assert "'bias' has no time axis" in refused(path, contexts={"bias": 1}).what
    nodes, inputs, outputs = one_frame()
    nodes += [helper.make_node("Identity", ["s"], ["x.context"])]
    path = save(tmp_path / "taken.onnx", nodes, inputs, [*outputs, port("x.context", [None, None])])
    error = refused(path, "x: batch, 3*time", contexts={"x": 1})
    assert "the graph uses the name 'x.context' already" in error.what


def test_a_next_state_of_another_size_is_refused(tmp_path) -> None:
    nodes = [
        helper.make_node("Concat", ["s", "x"], ["s.next"], axis=1),
        helper.make_node("ReduceSum", ["s.next", "one"], ["y"]),
    ]
    path = save(
        tmp_path / "grows.onnx", nodes,
        [port("x", ["batch", "time", 2]), port("s", ["batch", None, 2])],
        [port("y", [None, 1, 2]), port("s.next", [None, None, 2])],
    )  # fmt: skip
    error = refused(path, "s: batch, 4, 2")
    assert "the next value of 's' has shape [1, 7, 2], the state itself [1, 4, 2]" in error.what
    assert "grows with time" in error.fix
    assert "is open" in refused(path).what


def test_an_output_that_follows_neither_batch_nor_time_is_refused(tmp_path) -> None:
    nodes, inputs, outputs = sums()
    nodes += [helper.make_node("Concat", ["y", "s.frame"], ["z"], axis=1)]
    path = save(tmp_path / "z.onnx", nodes, inputs, [outputs[1], port("z", [None, None, 2])])
    error = refused(path)
    assert "axis 1 has 4 entries for 2 rows and 3 frames" in error.what


def test_the_number_of_axes_may_have_to_be_said(tmp_path) -> None:
    nodes, inputs, outputs = sums()
    path = save(tmp_path / "rank.onnx", nodes, inputs, outputs)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    assert "does not say how many axes 'x' has" in refused(path).what
    assert adopted(path, "x: batch, time, 2").contract.inputs[0].shape == ("batch", "time", 2)


def test_files_that_cannot_be_read_are_refused(tmp_path, sum_file) -> None:
    model = onnx.load(sum_file)
    model.opset_import[0].version = 9
    old = tmp_path / "old.onnx"
    onnx.save(model, old)
    assert "the file is of opset 9" in refused(old).what
    model.opset_import[0].version = 17
    model.graph.node[0].op_type = "Nonsense"
    strange = tmp_path / "strange.onnx"
    onnx.save(model, strange)
    assert "onnxruntime cannot load it" in refused(strange).what
