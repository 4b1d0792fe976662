"""Batches at their edges: what goes wrong hurts nobody else, and what is full says so."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from aligned_models import ALL

from rnnedge_runtime import InputError, SnapshotError, load


@pytest.fixture(scope="module")
def table(make):
    """Adds up what it looks up, int64 in; a token beyond the table fails inside the run."""
    contract = make.sum_contract(inputs=(make.port("token", "batch", "time", dtype="int64"),))
    node = make.node
    nodes = [
        node("Gather", ["table", "token"], ["x"]),
        *make.sum_nodes(),
    ]
    constants = make.sum_constants() | {"table": np.ones((4, 2), np.float32)}
    return load(make.file(contract, nodes, constants))


def _tokens(*rows):
    return np.array([[token] for token in rows], np.int64)


def _joined(batch, count):
    return [batch.join() for _ in range(count)]


def _totals(streams):
    return [int(stream.state["total"][0, 0]) for stream in streams]


def test_a_push_that_fails_alone_fails_in_company_and_hurts_nobody(table):
    batch = table.batch(5)
    streams = _joined(batch, 5)
    batch.push(streams, _tokens(0, 0, 0, 0, 0))
    futures = [s.push(_tokens(9 if i == 2 else 1)) for i, s in enumerate(streams)]
    batch.tick()
    with pytest.raises(InputError, match="onnxruntime refused the run"):
        futures[2].result(timeout=0)
    assert [f.result(timeout=0)[0, 0, 0] for i, f in enumerate(futures) if i != 2] == [2] * 4
    assert _totals(streams) == [2, 2, 1, 2, 2]
    assert [s.frames for s in streams] == [2, 2, 1, 2, 2]


@pytest.mark.parametrize("spread", [1, 3])  # whole banks, and rows gathered
def test_a_bulk_push_that_fails_moves_no_stream(table, spread):
    batch = table.batch(6 * spread, rows=2)
    streams = _joined(batch, 6 * spread)[::spread]
    batch.push(streams, _tokens(*range(4), 0, 0))
    with pytest.raises(InputError, match="onnxruntime refused the run"):
        batch.push(streams, _tokens(1, 1, 1, 1, 9, 1))
    assert _totals(streams) == [1] * 6
    assert [s.frames for s in streams] == [1] * 6
    batch.push(streams, _tokens(*range(4), 0, 0))
    assert _totals(streams) == [2] * 6


def test_a_long_push_that_fails_midway_leaves_the_stream_where_it_was(table):
    batch = table.batch(1, most_frames=2)
    stream = batch.join()
    future = stream.push(np.array([[1, 1, 1, 9, 1]], np.int64))
    assert batch.tick() == 1
    assert _totals([stream]) == [2]
    batch.tick()
    with pytest.raises(InputError, match="onnxruntime refused the run"):
        future.result(timeout=0)
    assert (_totals([stream]), stream.frames, batch.ready) == ([0], 0, 0)


def test_sums_are_bit_for_bit_those_of_a_lone_stream(running_sum):
    batch, lone = running_sum.batch(8), running_sum.stream()
    streams = _joined(batch, 8)
    x = np.random.default_rng(0).standard_normal((8, 30, 2), dtype=np.float32)
    for t in range(30):
        y = batch.push(streams, x[:, t : t + 1])
        np.testing.assert_array_equal(y[3:4], lone.push(x[3:4, t : t + 1]))


def test_more_workers_give_bit_for_bit_the_same(lstm):
    model = lstm.load()
    x = lstm.signal(batch=24, frames=6)
    results = []
    for workers in (1, 3):
        with model.batch(40, rows=8, workers=workers) as batch:
            streams = _joined(batch, 32)[::-1][:24]
            outputs = [batch.push(streams, x[:, t : t + 1]) for t in range(6)]
            results.append(np.concatenate(outputs, axis=1))
    whole = model.stream(24).push(x)
    np.testing.assert_allclose(results[0], whole, atol=1e-6)
    np.testing.assert_allclose(results[1], whole, atol=1e-6)


@pytest.mark.parametrize("aligned", ALL, ids=lambda aligned: aligned.name)
def test_a_new_stream_finds_nothing_of_the_one_before(aligned):
    model = load(aligned.file())
    batch = model.batch(1)
    before = batch.join()
    before.push(aligned.signal(1, 7))
    batch.tick()
    before.leave()
    after, lone = batch.join(), model.stream()
    x = aligned.signal(1, 20, seed=1)
    future = after.push(x)
    batch.tick()
    np.testing.assert_array_equal(future.result(timeout=0), lone.push(x))


@pytest.mark.parametrize("aligned", ALL, ids=lambda aligned: aligned.name)
def test_rows_with_nan_start_again_as_those_of_a_stream_do(aligned):
    model = load(aligned.file())
    x = aligned.signal(1, 40)
    x[0, 0, 14] = np.nan
    batch, lone = model.batch(2, on_nonfinite="reset"), model.stream(on_nonfinite="reset")
    stream = batch.join()
    for part in np.split(x, [8, 12, 20, 21], axis=2):
        future, expected = stream.push(part), lone.push(part)
        batch.tick()
        np.testing.assert_allclose(future.result(timeout=0), expected, rtol=0, atol=2e-6)
    future = stream.flush()
    batch.tick()
    np.testing.assert_allclose(future.result(timeout=0), lone.flush(), rtol=0, atol=2e-6)
    stream.reset()
    lone.reset()
    future = stream.push(aligned.signal(1, 20))
    batch.tick()
    expected = lone.push(aligned.signal(1, 20))
    np.testing.assert_allclose(future.result(timeout=0), expected, rtol=0, atol=2e-6)


def test_nan_is_refused_when_it_is_pushed(running_sum):
    batch = running_sum.batch(2)
    streams = _joined(batch, 2)
    bad = np.full((1, 1, 2), np.nan, np.float32)
    with pytest.raises(InputError, match="the input holds nan, at row 0, frame 0"):
        streams[0].push(bad)
    with pytest.raises(InputError, match="the input holds nan, at row 1"):
        batch.push(streams, np.concatenate([np.ones_like(bad), bad]))
    assert batch.ready == 0
    assert _totals(streams) == [0, 0]


def test_slots_that_are_taken_are_free_again_once_left(running_sum):
    batch = running_sum.batch(2)
    first, _ = _joined(batch, 2)
    with pytest.raises(InputError, match="all 2 slots are taken"):
        batch.join()
    first.leave()
    assert batch.join().slot == 0


def test_a_bulk_push_takes_each_stream_of_this_batch_once(running_sum):
    batch, elsewhere = running_sum.batch(2), running_sum.batch(2).join()
    stream, other = _joined(batch, 2)
    x = np.ones((2, 1, 2), np.float32)
    for streams in ([stream, stream], [stream, elsewhere]):
        with pytest.raises(InputError, match="a stream is given twice, or is of another batch"):
            batch.push(streams, x)
    stream.push(x[:1])
    with pytest.raises(InputError, match="pushes of this stream wait for their turn"):
        batch.push([other, stream], x)
    with pytest.raises(InputError, match="pushes of this stream wait for their turn"):
        stream.restore(other.snapshot())
    batch.tick()
    np.testing.assert_array_equal(batch.push([other, stream], x)[:, 0, 0], [1, 2])


def test_a_tuple_of_streams_of_which_one_has_left_is_refused(running_sum):
    batch = running_sum.batch(3)
    streams = tuple(_joined(batch, 2))
    x = np.ones((2, 1, 2), np.float32)
    for total in (1, 2):
        assert batch.push(streams, x)[1, 0, 0] == total
    assert batch.push(streams[::-1], x)[1, 0, 0] == 3
    streams[0].leave()
    with pytest.raises(InputError, match="the stream has left its batch"):
        batch.push(streams, x)


def test_a_push_of_nobody_gives_nothing(running_sum):
    assert running_sum.batch(2).push([], np.ones((0, 1, 2), np.float32)).shape == (0, 1, 2)


def test_rows_that_hold_different_numbers_of_frames_are_told_apart():
    aligned = next(model for model in ALL if model.contract.chunk_multiple > 1)
    batch = load(aligned.file()).batch(2)
    ahead, behind = streams = _joined(batch, 2)
    batch.push([ahead], aligned.signal(1, 1))
    with pytest.raises(InputError, match="rows hold different numbers of frames"):
        batch.push(streams, aligned.signal(2, aligned.contract.chunk_multiple - 1))
    assert (ahead.frames, behind.frames) == (1, 0)


def test_snapshots_of_more_rows_are_refused(running_sum):
    stream = running_sum.batch(1).join()
    with pytest.raises(SnapshotError, match="the snapshot has 2 rows, the stream 1"):
        stream.restore(running_sum.stream(2).snapshot())


def test_a_model_in_which_streams_share_something_is_refused(make):
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "time", 2), make.port("gain", 2)),
    )
    nodes = [make.node("Mul", ["x", "gain"], ["scaled"]), *make.sum_nodes()]
    model = load(make.file(contract, nodes, make.sum_constants()))
    with pytest.raises(InputError, match="no batch axis, so that streams cannot share a run") as e:
        model.batch(2)
    assert e.value.where == "'gain' [2]"


@pytest.mark.parametrize("argument", ["slots", "rows", "frames", "queue", "most_frames", "workers"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2"])
def test_what_counts_something_is_a_positive_whole_number(running_sum, argument, value):
    with pytest.raises(InputError, match=f"{argument} must be a whole number of 1 or more"):
        running_sum.batch(**({"slots": 2} | {argument: value}))


def test_idle_streams_cost_their_states_and_little_more(make_twin):
    model = make_twin("LSTM", 16, 64, 1, 0).load()
    count = 10_000
    batch = model.batch(count)
    tracemalloc.start()
    try:
        streams = _joined(batch, count)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(streams) == count
    assert used / count < 150  # beside the states: the handle in the caller's hands
