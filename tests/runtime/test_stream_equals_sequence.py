"""A stream is the whole sequence, however it is cut; and both are what PyTorch computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnedge_runtime import load

KINDS = ["RNN", "GRU", "LSTM"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_whole_sequence_is_as_exact_as_pytorch(make_twin, kind, layers):
    twin = make_twin(kind, features=7, hidden=16, layers=layers, seed=3)
    x = twin.signal(batch=4, frames=120)
    result = twin.load().run(x)
    twin.assert_as_good_as_torch(x, result.outputs | result.states)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_single_frames_is_as_exact_as_pytorch(make_twin, kind):
    twin = make_twin(kind, features=7, hidden=16, layers=2, seed=4)
    x = twin.signal(batch=2, frames=150)
    stream = twin.load().stream(batch=2)
    y = np.concatenate([stream.push(x[:, t : t + 1]) for t in range(x.shape[1])], axis=1)
    twin.assert_as_good_as_torch(x, {"y": y, **stream.state})


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    batch=st.integers(1, 8),
    cuts=st.lists(st.integers(0, 13), min_size=1, max_size=14),
    seed=st.integers(0, 1000),
)
def test_any_chunking_gives_the_whole_sequence(make_twin, kind, batch, cuts, seed):
    twin = make_twin(kind, features=3, hidden=6, layers=2, seed=1)
    x = twin.signal(batch, frames=sum(cuts), seed=seed)
    stream = twin.load().stream(batch)
    parts, start = [], 0
    for frames in cuts:
        parts.append(stream.push(x[:, start : start + frames]))
        assert parts[-1].shape == (batch, frames, 6)
        start += frames
    parts.append(stream.flush())
    assert stream.frames == x.shape[1]
    if x.shape[1]:  # PyTorch refuses sequences of no frames
        twin.assert_as_good_as_torch(x, {"y": np.concatenate(parts, axis=1), **stream.state})


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 20), min_size=1, max_size=20))
def test_any_chunking_gives_the_same_bits_where_the_arithmetic_is_exact(make, cuts):
    model = load(make.sum_file())
    rng = np.random.default_rng(sum(cuts))
    x = rng.integers(-8, 8, (2, sum(cuts), 2)).astype(np.float32)
    stream = model.stream(batch=2)
    y = np.concatenate([stream.push(part) for part in np.split(x, np.cumsum(cuts), axis=1)], axis=1)
    np.testing.assert_array_equal(y, np.cumsum(x, axis=1))


def test_more_chunk_lengths_than_are_kept_still_give_the_whole_sequence(running_sum):
    stream, total = running_sum.stream(), 0.0
    for frames in [*range(1, 30), *range(1, 30)]:
        y = stream.push(np.ones((1, frames, 2), np.float32))
        total += frames
        assert y[0, -1, 0] == total
    assert len(stream._engine.chunks) == 8


def test_rows_of_a_batch_are_streams_of_their_own(lstm):
    model = lstm.load()
    x = lstm.signal(batch=5, frames=40)
    together = model.stream(batch=5).push(x)
    for row in range(5):
        alone = model.stream().push(x[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-5, atol=1e-6)


def test_a_run_continues_from_the_states_of_the_run_before(lstm):
    model = lstm.load()
    x = lstm.signal(batch=2, frames=60)
    first = model.run(x[:, :25])
    second = model.run(x[:, 25:], states=first.states)
    y = np.concatenate([first.outputs["y"], second.outputs["y"]], axis=1)
    lstm.assert_as_good_as_torch(x, {"y": y, **second.states})


def test_an_input_in_any_memory_layout_gives_the_same_bits(gru):
    model = gru.load()
    x = gru.signal(batch=2, frames=30)
    plain = model.stream(2).push(x)
    by_column = model.stream(2).push(np.asfortranarray(x))
    strided = model.stream(2).push(np.repeat(x, 2, axis=1)[:, ::2])
    np.testing.assert_array_equal(plain, by_column)
    np.testing.assert_array_equal(plain, strided)
