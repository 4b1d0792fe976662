"""Pushing: what goes in, what comes out, and what a wrong push leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from rnnedge_runtime import InputError, load


def _bits(stream):
    return {name: value.tobytes() for name, value in stream.state.items()}, stream.frames


@pytest.fixture
def two_inputs(make):
    """``y = gain * cumsum(x + shift)`` and ``last``, the value after the last frame."""
    contract = make.sum_contract(
        inputs=(
            make.port("x", "batch", "time", 2),
            make.port("shift", "batch", "time", 2),
            make.port("gain", "batch", 2),
        ),
        outputs=(make.port("y", "batch", "time", 2), make.port("last", "batch", 2)),
    )
    node = make.node
    nodes = [
        node("Add", ["x", "shift"], ["moved"]),
        node("CumSum", ["moved", "one"], ["sums"]),
        node("Unsqueeze", ["total", "ones"], ["before"]),
        node("Add", ["sums", "before"], ["all"]),
        node("Unsqueeze", ["gain", "ones"], ["gains"]),
        node("Mul", ["all", "gains"], ["y"]),
        node("ReduceSum", ["moved", "ones"], ["added"], keepdims=0),
        node("Add", ["total", "added"], ["total.next"]),
        node("Mul", ["total.next", "gain"], ["last"]),
    ]
    return load(make.file(contract, nodes, make.sum_constants()))


@pytest.fixture
def table(make):
    """Looks tokens up, int64 in; raises inside the run when a token is beyond the table."""
    contract = make.sum_contract(
        inputs=(make.port("token", "batch", "time", dtype="int64"),),
        outputs=(make.port("y", "batch", "time", 2),),
    )
    node = make.node
    nodes = [
        node("Unsqueeze", ["total", "ones"], ["before"]),
        # Written before the failing lookup, so that a failed run leaves half a state behind.
        node("Add", ["total", "total"], ["total.next"]),
        node("Gather", ["table", "token"], ["looked"]),
        node("Add", ["looked", "before"], ["y"]),
    ]
    constants = make.sum_constants() | {"table": np.ones((4, 2), np.float32)}
    return load(make.file(contract, nodes, constants))


def test_no_frames_is_an_ordinary_push(running_sum):
    stream = running_sum.stream(batch=3)
    before = _bits(stream)
    y = stream.push(np.zeros((3, 0, 2), np.float32))
    assert (y.shape, y.dtype) == ((3, 0, 2), np.float32)
    assert _bits(stream) == before


def test_no_frames_through_a_recurrent_kernel_is_an_ordinary_push(gru):
    # onnxruntime ends the process when its GRU gets an empty sequence; nothing may reach it.
    stream = gru.load().stream()
    assert stream.push(gru.signal(1, 0)).shape == (1, 0, 5)
    assert gru.load().run(gru.signal(1, 0)).outputs["y"].shape == (1, 0, 5)


def test_no_frames_still_need_the_right_shape_and_type(running_sum):
    stream = running_sum.stream()
    with pytest.raises(InputError, match="axis 2 must be 2, got 3"):
        stream.push(np.zeros((1, 0, 3), np.float32))
    with pytest.raises(InputError, match="element type float32 is expected, got float64"):
        stream.push(np.zeros((1, 0, 2)))


def test_flush_of_a_model_without_delay_gives_no_frames(running_sum):
    stream = running_sum.stream(batch=2)
    stream.push(np.ones((2, 3, 2), np.float32))
    assert stream.flush().shape == (2, 0, 2)


def test_after_a_flush_nothing_goes_on_until_reset(running_sum):
    stream = running_sum.stream(batch=2)
    x = np.ones((2, 3, 2), np.float32)
    stream.push(x)
    stream.flush()
    before = _bits(stream)
    for call in (lambda: stream.push(x), stream.flush, lambda: stream.reset([1])):
        with pytest.raises(InputError, match="the signal has been ended by flush") as caught:
            call()
        assert caught.value.fix == "reset() starts the next signal"
        assert _bits(stream) == before
    stream.reset()
    assert stream.push(x)[0, -1].tolist() == [3, 3]


def test_several_inputs_and_outputs_go_by_name(two_inputs):
    stream = two_inputs.stream()
    frames = np.ones((1, 3, 2), np.float32)
    inputs = {"x": frames, "shift": frames, "gain": np.full((1, 2), 10, np.float32)}
    result = stream.push(inputs)
    assert result["y"][0, :, 0].tolist() == [20, 40, 60]
    assert result["last"].tolist() == [[60, 60]]
    assert stream.push(inputs)["last"].tolist() == [[120, 120]]
    assert stream.flush()["last"].tolist() == [[120, 120]]


def test_one_input_may_go_by_name_too(running_sum):
    x = np.ones((1, 3, 2), np.float32)
    np.testing.assert_array_equal(running_sum.stream().push({"x": x}), running_sum.stream().push(x))


def test_no_frames_give_no_last_value(two_inputs):
    stream = two_inputs.stream()
    none = np.zeros((1, 0, 2), np.float32)
    with pytest.raises(InputError, match="an output without a time axis") as caught:
        stream.push({"x": none, "shift": none, "gain": np.ones((1, 2), np.float32)})
    assert "output 'last' [batch, 2]" in str(caught.value)
    with pytest.raises(InputError, match="an output without a time axis"):
        stream.flush()


def test_results_are_the_callers_own(running_sum):
    stream = running_sum.stream()
    first = stream.push(np.ones((1, 2, 2), np.float32))
    kept = first.copy()
    stream.push(np.ones((1, 2, 2), np.float32))
    np.testing.assert_array_equal(first, kept)
    first[...] = -1
    assert stream.push(np.ones((1, 2, 2), np.float32))[0, 0, 0] == 5


def test_the_pushed_array_is_neither_kept_nor_changed(running_sum):
    stream = running_sum.stream()
    x = np.ones((1, 2, 2), np.float32)
    stream.push(x)
    assert (x == 1).all()
    x[...] = 99
    assert stream.state["total"].tolist() == [[2, 2]]


X = np.zeros((2, 3, 2), np.float32)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X.astype(np.float64), "element type float32 is expected, got float64"),
        (X.astype(">f4"), "element type float32 is expected, got >f4"),
        (X.astype(np.int32), "element type float32 is expected, got int32"),
        (X[0], "3 axes are expected, got 2"),
        (X[..., :1], "axis 2 must be 2, got 1"),
        (X[:1], r"axis 0 \(batch\) must be 2, got 1"),
        (X[:0], r"axis 0 \(batch\) must be 2, got 0"),
        (X.tolist(), "a numpy array is expected, got list"),
        (None, "a numpy array is expected, got NoneType"),
        ({"y": X}, "inputs missing: x; unknown: y"),
        ({"x": X, "h": X}, "inputs missing: none; unknown: h"),
        ({}, "inputs missing: x; unknown: none"),
        ({"x": X.tolist()}, "a numpy array is expected, got list"),
    ],
)
@pytest.mark.parametrize("is_warm", [False, True], ids=["first push", "after a good one"])
def test_a_push_that_does_not_fit_is_refused_and_changes_nothing(running_sum, x, message, is_warm):
    stream = running_sum.stream(batch=2)
    if is_warm:
        stream.push(X + 1)
    before = _bits(stream)
    with pytest.raises(InputError, match=message):
        stream.push(x)
    assert _bits(stream) == before
    np.testing.assert_array_equal(stream.push(X)[:, -1], 3 * float(is_warm))


def test_inputs_of_one_push_need_the_same_number_of_frames(two_inputs):
    inputs = {
        "x": np.ones((1, 3, 2), np.float32),
        "shift": np.ones((1, 2, 2), np.float32),
        "gain": np.ones((1, 2), np.float32),
    }
    with pytest.raises(InputError, match=r"axis 1 \(time\) must be 3, got 2") as caught:
        two_inputs.stream().push(inputs)
    assert "the same number of frames" in caught.value.fix


def test_a_bare_array_does_not_do_for_several_inputs(two_inputs):
    with pytest.raises(InputError, match="one ndarray given, but the model has 3 inputs"):
        two_inputs.stream().push(np.ones((1, 3, 2), np.float32))


def test_a_run_that_fails_leaves_the_state_as_it_was(table):
    stream = table.stream()
    stream.set_state({"total": np.ones((1, 2), np.float32)})
    stream.push(np.zeros((1, 4), np.int64))
    before = _bits(stream)
    for tokens in ([[0, 1, 9, 0]], [[7]]):
        with pytest.raises(InputError, match=r"onnxruntime refused the run: .*indices") as caught:
            stream.push(np.array(tokens))
        assert caught.value.where == "Stream.push"
        assert _bits(stream) == before
    assert stream.push(np.zeros((1, 1), np.int64))[0, 0, 0] == 3


def test_frames_may_be_groups_of_samples(make):
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "4*time", 2),),
        outputs=(make.port("y", "batch", "4*time", 2),),
    )
    stream = load(make.sum_file(graph=make.sum_contract(), **_fields(contract))).stream()
    assert stream.push(np.ones((1, 8, 2), np.float32)).shape == (1, 8, 2)
    assert stream.frames == 2
    with pytest.raises(InputError, match=r"axis 1 \(time\) must be a whole multiple of 4, got 6"):
        stream.push(np.ones((1, 6, 2), np.float32))


def _fields(contract):
    return {"inputs": contract.inputs, "outputs": contract.outputs}


def test_a_sequence_model_is_not_streamed(make):
    contract = make.sum_contract(
        mode="sequence", states=(), outputs=(make.port("y", "batch", "time", 2),)
    )
    model = load(make.file(contract, [make.node("Neg", ["x"], ["y"])]))
    with pytest.raises(InputError, match="whole sequences only") as caught:
        model.stream()
    assert "Model.run" in caught.value.fix
    x = np.ones((1, 3, 2), np.float32)
    np.testing.assert_array_equal(model.run(x).outputs["y"], -x)


def test_an_output_of_unknown_size_is_refused(make):
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "time", "width"),),
        outputs=(make.port("y", "batch", "time", "width"),),
        states=(),
    )
    model = load(make.file(contract, [make.node("Neg", ["x"], ["y"])]))
    with pytest.raises(InputError, match="the size 'width' of the output is not known"):
        model.stream()
    assert model.run(np.ones((1, 2, 7), np.float32)).outputs["y"].shape == (1, 2, 7)


@pytest.mark.parametrize("batch", [0, -1, 1.5, "2", None])
def test_a_batch_is_a_positive_whole_number(running_sum, batch):
    for call in (running_sum.stream, running_sum.initial_state):
        with pytest.raises(InputError, match="batch must be a whole number of 1 or more"):
            call(batch)


def test_a_model_without_a_batch_axis_runs_one_row_only(make):
    contract = make.sum_contract(
        inputs=(make.port("x", 1, "time", 2),),
        outputs=(make.port("y", 1, "time", 2),),
        states=(make.state("total", 1, 2),),
    )
    model = load(make.sum_file(graph=contract, **_fields(contract), states=contract.states))
    assert model.stream().push(np.ones((1, 2, 2), np.float32))[0, -1, 0] == 2
    with pytest.raises(InputError, match="nothing in the model has a batch axis"):
        model.stream(batch=2)


def test_two_streams_of_one_model_do_not_meet(running_sum):
    ones = np.ones((1, 1, 2), np.float32)
    a, b = running_sum.stream(), running_sum.stream()
    for _ in range(3):
        a.push(ones)
    assert b.push(ones)[0, 0, 0] == 1


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"]
)
def test_every_element_type_streams(make, dtype):
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "time", dtype=dtype),),
        outputs=(make.port("y", "batch", "time", dtype=dtype),),
        states=(make.state("latest", "batch", 1, dtype=dtype, fill=1),),
    )
    nodes = [
        make.node("Identity", ["x"], ["y"]),
        make.node("Slice", ["x", "start", "end", "axis"], ["latest.next"]),
    ]
    constants = {"start": np.array([-1]), "end": np.array([2**31]), "axis": np.array([1])}
    stream = load(make.file(contract, nodes, constants)).stream(batch=2)
    assert stream.state["latest"].tolist() == [[1], [1]]
    x = np.array([[1, 0, 1], [1, 1, 0]]).astype(dtype)
    np.testing.assert_array_equal(stream.push(x), x)
    np.testing.assert_array_equal(stream.state["latest"], x[:, -1:])
