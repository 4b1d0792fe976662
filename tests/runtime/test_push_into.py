"""`push_into`: what `push` gives, in the caller's own arrays, and nothing allocated."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnedge_runtime import InputError, load


@given(lengths=st.lists(st.integers(0, 5), max_size=8), batch=st.integers(1, 3))
def test_any_chunks_give_what_push_gives(lstm, lengths, batch):
    model = lstm.load()
    ours, other = model.stream(batch), model.stream(batch)
    for seed, frames in enumerate(lengths):
        x = lstm.signal(batch, frames, seed)
        out = np.full((batch, frames, 5), np.nan, np.float32)
        ours.push_into(x, out)
        np.testing.assert_array_equal(out, other.push(x))
    assert ours.snapshot() == other.snapshot()


def test_a_push_allocates_nothing_but_a_few_small_objects(gru):
    """Less than a result of one array: 64 rows of 100 frames of 5 numbers are 128,000 bytes."""
    stream = gru.load().stream(batch=64)
    x = gru.signal(batch=64, frames=100)
    out = np.empty((64, 100, 5), np.float32)

    def bytes_of(step, times):
        """Kept after `times` steps, and the most that was alive within them."""
        tracemalloc.start()
        try:
            for _ in range(200):  # memory that was taken before is replaced by memory that is seen
                step()
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(times):
                step()
            now, peak = tracemalloc.get_traced_memory()
            return now - before, peak - before
        finally:
            tracemalloc.stop()

    kept, peak = bytes_of(lambda: stream.push_into(x, out), 100)
    assert kept < 200
    assert peak < 1_000
    # The same ruler sees what push allocates.
    assert bytes_of(lambda: stream.push(x), 3)[1] > out.nbytes


def test_outputs_by_name_are_written_by_name(make):
    contract = make.sum_contract(
        outputs=(make.port("y", "batch", "time", 2), make.port("last", "batch", 2))
    )
    nodes = [*make.sum_nodes(), make.node("Identity", ["total.next"], ["last"])]
    stream = load(make.file(contract, nodes, make.sum_constants())).stream()
    out = {"y": np.empty((1, 3, 2), np.float32), "last": np.empty((1, 2), np.float32)}
    stream.push_into(np.ones((1, 3, 2), np.float32), out)
    np.testing.assert_array_equal(out["y"][0, :, 0], [1, 2, 3])
    np.testing.assert_array_equal(out["last"], [[3, 3]])
    with pytest.raises(InputError, match="arrays are needed for the outputs y, last; given: y"):
        stream.push_into(np.ones((1, 3, 2), np.float32), {"y": out["y"]})
    assert stream.frames == 3


def test_the_output_may_lie_over_the_input(running_sum):
    x = np.ones((1, 4, 2), np.float32)
    stream = running_sum.stream()
    stream.push_into(x, x)
    np.testing.assert_array_equal(x[0, :, 0], [1, 2, 3, 4])
    stream.push_into(x, x)
    np.testing.assert_array_equal(x[0, :, 0], [5, 7, 10, 14])


def _read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("pushes_before", [0, 2])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((1, 3, 2), np.float32), r"gives float32 \[1, 4, 2\], and `out` is float32"),
        (np.empty((1, 4, 2), np.float64), "gives float32 .*, and `out` is float64"),
        ([0.0] * 8, "and `out` is list"),
        (_read_only(np.empty((1, 4, 2), np.float32)), "`out` cannot be written to"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(running_sum, pushes_before, out, message):
    stream = running_sum.stream()
    x = np.ones((1, 4, 2), np.float32)
    for _ in range(pushes_before):
        stream.push(x)
    before = stream.snapshot()
    with pytest.raises(InputError, match=message):
        stream.push_into(x, out)
    assert stream.snapshot() == before


def test_nan_is_refused_and_the_output_stays(running_sum):
    stream = running_sum.stream()
    stream.push(np.ones((1, 1, 2), np.float32))
    out = np.full((1, 1, 2), 7, np.float32)
    with pytest.raises(InputError, match="the input holds nan"):
        stream.push_into(np.full((1, 1, 2), np.nan, np.float32), out)
    assert (out == 7).all()
    assert stream.frames == 1
