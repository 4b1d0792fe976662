"""NaN and Inf in an input: refused, repaired or ignored, as the stream was told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from rnnedge_runtime import InputError, load

BAD = [np.nan, np.inf, -np.inf]


def _signal(gru, batch=3, frames=6):
    return gru.signal(batch, frames, seed=9)


@pytest.mark.parametrize("value", BAD)
def test_by_default_a_bad_value_is_refused_and_the_state_untouched(gru, value):
    stream = gru.load().stream(batch=3)
    stream.push(_signal(gru))
    before, frames = stream.state, stream.frames
    x = _signal(gru)
    x[1, 4, 2] = value
    with pytest.raises(InputError, match=f"holds {value}, at row 1, frame 4") as caught:
        stream.push(x)
    assert "on_nonfinite='reset'" in caught.value.fix
    assert stream.frames == frames
    for name, was in before.items():
        assert stream.state[name].tobytes() == was.tobytes()


def test_opposite_infinities_are_found_too(gru):
    # Their sum is NaN, about which numpy warns; here a warning is an error.
    x = _signal(gru)
    x[0, 0, 0], x[2, 3, 1] = np.inf, -np.inf
    with pytest.raises(InputError, match="holds inf, at row 0, frame 0"):
        gru.load().stream(batch=3).push(x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_huge_but_finite_values_pass_without_a_warning(make, dtype):
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "time", 2, dtype=dtype),),
        outputs=(make.port("y", "batch", "time", 2, dtype=dtype),),
        states=(),
    )
    stream = load(make.file(contract, [make.node("Neg", ["x"], ["y"])])).stream()
    for value in (np.finfo(dtype).max, np.finfo(dtype).tiny):
        x = np.full((1, 500, 2), value, dtype)
        with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
            warnings.simplefilter("error")
            np.testing.assert_array_equal(stream.push(x), -x)


def test_a_chunk_whose_sum_overflows_is_looked_at_value_by_value(make):
    contract = make.sum_contract(states=())
    stream = load(make.file(contract, [make.node("Neg", ["x"], ["y"])])).stream()
    x = np.full((1, 2**20, 2), np.finfo(np.float32).max)
    assert stream.push(x)[0, -1, 0] == -x[0, -1, 0]


def test_one_bad_value_among_many_is_found(running_sum):
    for place in (0, 1, 4097, 19999):
        x = np.ones((1, 10000, 2), np.float32)
        x.reshape(-1)[place] = np.nan
        with pytest.raises(InputError, match=f"frame {place // 2}, "):
            running_sum.stream().push(x)


@pytest.mark.parametrize("value", BAD)
def test_reset_restarts_the_rows_concerned_and_no_others(gru, value):
    model = gru.load()
    stream, untouched = (model.stream(batch=3, on_nonfinite="reset") for _ in range(2))
    stream.push(_signal(gru))
    untouched.push(_signal(gru))
    x = gru.signal(3, 4, seed=2)
    good = untouched.push(x)
    x[1, 2, 0] = value
    y = stream.push(x)
    # Row 1 is a new stream that gets the chunk with a zero in place of the bad value.
    x[1, 2, 0] = 0
    fresh = model.stream(batch=3).push(x)
    np.testing.assert_array_equal(y[1], fresh[1])
    np.testing.assert_array_equal(y[[0, 2]], good[[0, 2]])
    assert stream.frames == 10


def test_reset_of_every_row_goes_on_counting_frames(running_sum):
    stream = running_sum.stream(on_nonfinite="reset")
    stream.push(np.ones((1, 3, 2), np.float32))
    y = stream.push(np.array([[[1, np.nan], [1, 1]]], np.float32))
    assert y.tolist() == [[[1, 0], [2, 1]]]
    assert stream.frames == 5


def test_reset_leaves_the_pushed_array_as_it_was(running_sum):
    x = np.full((1, 2, 2), np.nan, np.float32)
    running_sum.stream(on_nonfinite="reset").push(x)
    assert np.isnan(x).all()


def test_a_bad_value_in_an_input_of_all_rows_resets_them_all(make):
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "time", 2), make.port("bias", 2)),
        outputs=(make.port("y", "batch", "time", 2),),
    )
    nodes = [make.node("Add", ["x", "bias"], ["z"])]
    for node in make.sum_nodes():
        node.input[:] = ["z" if name == "x" else name for name in node.input]
        nodes.append(node)
    stream = load(make.file(contract, nodes, make.sum_constants())).stream(2, "reset")
    x, bias = np.ones((2, 1, 2), np.float32), np.zeros(2, np.float32)
    stream.push({"x": x, "bias": bias})
    y = stream.push({"x": x, "bias": np.array([np.inf, 0], np.float32)})
    assert y["y"].tolist() == [[[1, 1]], [[1, 1]]]
    with pytest.raises(InputError, match=r"holds inf, at index \[0\]"):
        load(make.file(contract, nodes, make.sum_constants())).stream().push(
            {"x": x[:1], "bias": np.array([np.inf, 0], np.float32)}
        )


def test_reset_of_some_rows_is_refused_where_a_state_is_shared(make):
    contract = make.sum_contract(
        states=(make.state("total", "batch", 2), make.state("count")),
    )
    nodes = [*make.sum_nodes(), make.node("Add", ["count", "count"], ["count.next"])]
    stream = load(make.file(contract, nodes, make.sum_constants())).stream(2, "reset")
    x = np.ones((2, 1, 2), np.float32)
    stream.push(x)
    x[1, 0, 0] = np.nan
    with pytest.raises(InputError, match="has no batch axis"):
        stream.push(x)
    assert stream.state["total"].tolist() == [[1, 1], [1, 1]]


def test_a_run_that_fails_after_a_reset_leaves_the_state_as_it_was(make):
    contract = make.sum_contract(
        inputs=(
            make.port("x", "batch", "time", 2),
            make.port("token", "batch", "time", dtype="int64"),
        )
    )
    nodes = [*make.sum_nodes(), make.node("Gather", ["table", "token"], ["looked"])]
    nodes[2].output[0] = "sum"
    nodes.append(make.node("Add", ["sum", "looked"], ["y"]))
    constants = make.sum_constants() | {"table": np.zeros((2, 2), np.float32)}
    stream = load(make.file(contract, nodes, constants)).stream(2, "reset")
    x, tokens = np.ones((2, 1, 2), np.float32), np.zeros((2, 1), np.int64)
    stream.push({"x": x, "token": tokens})
    bad = np.array([[[1, 1]], [[np.nan, 1]]], np.float32)
    with pytest.raises(InputError, match="onnxruntime refused the run"):
        stream.push({"x": bad, "token": tokens + 5})
    assert stream.state["total"].tolist() == [[1, 1], [1, 1]]


def test_ignore_lets_everything_through(running_sum):
    stream = running_sum.stream(on_nonfinite="ignore")
    x = np.array([[[np.inf, 1], [-np.inf, 1]]], np.float32)
    stream.push(x)
    assert np.isnan(stream.state["total"][0, 0])
    assert stream.state["total"][0, 1] == 2


def test_an_unknown_policy_is_refused(running_sum):
    with pytest.raises(InputError, match="on_nonfinite is 'skip'") as caught:
        running_sum.stream(on_nonfinite="skip")
    assert "raise, reset, ignore" in caught.value.fix


def test_a_row_of_a_folded_input_is_named(make):
    contract = make.sum_contract(
        inputs=(make.port("x", "3*batch", "4*time", 2),),
        outputs=(make.port("y", "3*batch", "4*time", 2),),
        states=(make.state("total", "3*batch", 2),),
    )
    fields = {"inputs": contract.inputs, "outputs": contract.outputs, "states": contract.states}
    x = np.ones((6, 8, 2), np.float32)
    x[4, 5, 0] = np.nan
    with pytest.raises(InputError, match="row 1, frame 1, index"):
        load(make.sum_file(**fields)).stream(batch=2).push(x)
