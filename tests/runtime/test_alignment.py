"""Streams with lookahead and strides: all pushes and the flush are the whole sequence."""

from __future__ import annotations

import numpy as np
import pytest
from aligned_models import ALL
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnedge_runtime import InputError, Port, load

BY_NAME = {aligned.name: aligned for aligned in ALL}
each = pytest.mark.parametrize("aligned", ALL, ids=lambda aligned: aligned.name)


@pytest.fixture(scope="module")
def models():
    return {aligned.name: load(aligned.file()) for aligned in ALL}


def _in_chunks(stream, x, cuts):
    """What every push gives, and the flush; [batch, channels, frames] each."""
    parts = [stream.push(part) for part in np.split(x, np.cumsum(cuts)[:-1], axis=2)]
    return [*parts, stream.flush()]


def _close(got, expected):
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(BY_NAME)),
    batch=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(lambda cuts: sum(cuts) >= 3),
)
def test_any_chunking_and_a_flush_are_the_whole_sequence(models, name, batch, cuts):
    aligned, model = BY_NAME[name], models[name]
    x = aligned.signal(batch, sum(cuts))
    port, multiple = model.contract.outputs[0], model.contract.chunk_multiple
    parts = _in_chunks(model.stream(batch), x, cuts)
    pushed = np.cumsum([0, *cuts]) // multiple * multiple
    assert [part.shape[2] for part in parts[:-1]] == list(np.diff(pushed) * port.ratio)
    y = np.concatenate(parts, axis=2)
    assert not y[:, :, : port.delay].any()
    _close(y[:, :, port.delay :], aligned.whole(x))


@each
@pytest.mark.parametrize("frames", [3, 4, 50, 51])
def test_a_run_is_the_whole_sequence_aligned_and_complete(models, aligned, frames):
    x = aligned.signal(2, frames)
    result = models[aligned.name].run(x)
    _close(result.outputs["output"], aligned.whole(x))
    stream = models[aligned.name].stream(2)
    stream.push(x)
    for name, value in stream.state.items():
        np.testing.assert_array_equal(result.states[name], value)


@each
@pytest.mark.parametrize("frames", [0, 1, 2])
def test_signals_shorter_than_the_edges_end_too(models, aligned, frames):
    model = models[aligned.name]
    port, x = model.contract.outputs[0], aligned.signal(1, frames)
    y = model.run(x).outputs["output"]
    assert y.shape[2] == port.length_of(frames)
    if y.size:
        _close(y, aligned.whole(x))


@each
def test_rows_that_start_at_different_times_are_signals_of_their_own(models, aligned):
    x = aligned.signal(3, 40)
    model = models[aligned.name]
    port, stream = model.contract.outputs[0], model.stream(3)
    stream.push(x[:, :, :4])
    stream.reset([1])
    stream.push(x[:, :, 4:6])
    stream.reset([2])
    # Row 2 is within its delay, row 1 may be, row 0 is not.
    y = np.concatenate(_in_chunks(stream, x[:, :, 6:], [1, 3, 20, 10]), axis=2)
    for row, start in enumerate([0, 4, 6]):
        whole = aligned.whole(x[row : row + 1, :, start:])
        given = int((6 - start) * port.ratio)
        expected = np.concatenate([np.zeros((1, 2, port.delay)), whole], axis=2)[:, :, given:]
        _close(y[row : row + 1], expected)


@each
def test_after_reset_a_flushed_stream_is_bit_for_bit_a_new_one(models, aligned):
    x, stream = aligned.signal(2, 21), models[aligned.name].stream(2)
    first = np.concatenate(_in_chunks(stream, x, [21]), axis=2)
    with pytest.raises(InputError, match="the signal has been ended by flush"):
        stream.push(x)
    stream.reset()
    assert stream.frames == 0
    second = np.concatenate(_in_chunks(stream, x, [21]), axis=2)
    assert first.tobytes() == second.tobytes()


@each
@pytest.mark.parametrize("frames", [1, 6, 7])
def test_a_snapshot_holds_what_is_held_and_where_rows_are(models, aligned, frames):
    x, model = aligned.signal(2, 30), models[aligned.name]
    stream = model.stream(2)
    stream.push(x[:, :, :2])
    stream.reset([1])
    stream.push(x[:, :, 2 : 2 + frames])
    restored, twin = model.stream(2), stream.fork()
    restored.push(x)
    restored.restore(stream.snapshot())
    assert twin.snapshot() == stream.snapshot()
    expected = np.concatenate(_in_chunks(stream, x[:, :, 2 + frames :], [5, 23 - frames]), axis=2)
    for other in (restored, twin):
        got = np.concatenate(_in_chunks(other, x[:, :, 2 + frames :], [5, 23 - frames]), axis=2)
        assert got.tobytes() == expected.tobytes()
    ended = model.stream(2)
    ended.restore(stream.snapshot())
    with pytest.raises(InputError, match="the signal has been ended"):
        ended.push(x)


def test_a_row_starts_again_only_where_a_run_does(models):
    aligned = BY_NAME["stride"]
    x, stream = aligned.signal(2, 3), models["stride"].stream(2)
    stream.push(x)
    before = stream.snapshot()
    with pytest.raises(InputError, match="1 frames are held; a row can only start") as caught:
        stream.reset([0])
    assert "push 1 more frames first, or reset all rows" in caught.value.fix
    assert stream.snapshot() == before
    stream.reset()
    assert stream.push(x[:, :, :1]).shape == (2, 2, 0)


def test_nan_is_refused_before_it_is_held(models):
    aligned = BY_NAME["stride"]
    x, stream = aligned.signal(1, 3), models["stride"].stream()
    stream.push(x)
    before = stream.snapshot()
    bad = x.copy()
    bad[0, 1, 2] = np.nan
    with pytest.raises(InputError, match="holds nan, at row 0, frame 2, index"):
        stream.push(bad)
    assert stream.snapshot() == before


@pytest.mark.parametrize("place", [2, 4, 8], ids=["held, then run", "in the run", "in the flush"])
def test_a_row_with_nan_starts_again_before_the_run_that_meets_it(models, place):
    aligned, model = BY_NAME["stride"], models["stride"]
    x = aligned.signal(2, 9)
    bad = x.copy()
    bad[0, 0, place] = np.nan
    stream = model.stream(2, on_nonfinite="reset")
    y = np.concatenate(_in_chunks(stream, bad, [3, 6]), axis=2)
    x[0, 0, place] = 0
    if place == 8:  # one frame is all that is left, and gives none
        assert not y[0, :, 4:].any()
    else:
        assert not y[0, :, 1].any()
        _close(y[:1, :, 2:], aligned.whole(x[:1, :, 2:]))
    _close(y[1:, :, 1:], aligned.whole(x[1:]))


@pytest.fixture
def delay_line(make):
    """``y = gain * x``, 3 frames late, 2 frames a run; ``sum`` is the value after the last run."""
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "2*time"), make.port("gain", "batch", 1)),
        outputs=(make.port("y", "batch", "2*time", delay=3), make.port("sum", "batch", 1)),
        states=(make.state("line", "batch", 6), make.state("total", "batch", 1)),
        chunk_multiple=2,
    )
    node = make.node
    nodes = [
        node("Concat", ["line", "x"], ["all"], axis=1),
        node("Slice", ["all", "zero", "minus", "one"], ["out"]),
        node("Mul", ["out", "gain"], ["y"]),
        node("Slice", ["all", "minus", "end", "one"], ["line.next"]),
        node("ReduceSum", ["x", "one"], ["added"]),
        node("Add", ["total", "added"], ["sum"]),
        node("Identity", ["sum"], ["total.next"]),
    ]
    constants = {"zero": [0], "minus": [-6], "end": [2**40], "one": [1]}
    arrays = {name: np.array(value) for name, value in constants.items()}
    return load(make.file(contract, nodes, arrays))


@pytest.mark.parametrize("cuts", [[5], [1, 4], [4, 1], [2, 2, 1]], ids=str)
def test_a_flush_runs_with_the_inputs_without_time_given_last(delay_line, cuts):
    x = np.arange(1, 11, dtype=np.float32)[None]
    gain = np.full((1, 1), 10, np.float32)
    stream, parts = delay_line.stream(), np.split(x, np.cumsum(cuts)[:-1] * 2, axis=1)
    got = [stream.push({"x": part, "gain": gain}) for part in parts]
    again = delay_line.stream()
    again.restore(stream.snapshot())
    for tail in (stream.flush(), again.flush()):
        y = np.concatenate([part["y"] for part in [*got, tail]], axis=1)
        assert y.tolist() == [[0] * 6 + (10 * x).tolist()[0]]
        assert tail["sum"].tolist() == [[55]]


def test_a_flush_uses_what_the_last_push_gave_though_it_took_the_short_way(delay_line):
    stream, frames = delay_line.stream(), np.ones((1, 4), np.float32)
    for gain in (1, 1, 1, 1, 7):
        stream.push({"x": frames, "gain": np.full((1, 1), gain, np.float32)})
    twin = stream.fork()
    for tail in (stream.flush(), twin.flush()):
        assert tail["y"].tolist() == [[7] * 6]


def test_a_row_that_ends_before_others_is_filled_up_with_zeros(models):
    # Shorter than the window, row 1 has no frame at all, and its first emission is still to come.
    aligned, stream = BY_NAME["shorter"], models["shorter"].stream(2)
    x = aligned.signal(2, 5)
    stream.push(x[:, :, :4])
    stream.reset([1])
    y = stream.push(x[:, :, 4:])
    assert not y[1].any()
    tail = stream.flush()
    assert tail.shape == (2, 2, 1)
    assert not tail.any()


def test_a_push_that_runs_nothing_gives_the_last_value_again(delay_line):
    stream, gain = delay_line.stream(), np.ones((1, 1), np.float32)
    frame = np.ones((1, 2), np.float32)
    values = [stream.push({"x": frame, "gain": gain})["sum"].item() for _ in range(5)]
    assert values == [0, 4, 4, 8, 8]
    with pytest.raises(InputError, match="an output without a time axis"):
        stream.push({"x": frame[:, :0], "gain": gain})


def test_a_length_without_a_batch_axis_is_one_for_all_rows(make):
    length = make.state("len", 1, dtype="int64", kind="length", fill=2**62)
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "time"),),
        outputs=(
            Port("y", "float32", ("batch", "time"), 0, 1, delay=1),
            make.port("end", 1, dtype="int64"),
        ),
        states=(make.state("line", "batch", 1), length),
    )
    nodes = [
        make.node("Concat", ["line", "x"], ["all"], axis=1),
        make.node("Slice", ["all", "zero", "minus", "one"], ["y"]),
        make.node("Slice", ["all", "minus", "far", "one"], ["line.next"]),
        make.node("Identity", ["len"], ["len.next"]),
        make.node("Identity", ["len"], ["end"]),
    ]
    constants = {"zero": [0], "minus": [-1], "far": [2**40], "one": [1]}
    arrays = {name: np.array(value) for name, value in constants.items()}
    stream = load(make.file(contract, nodes, arrays)).stream(2)
    assert stream.push(np.ones((2, 7), np.float32))["end"].item() == 2**62
    assert stream.flush()["end"].item() == 7
