"""What waits for a tick: its order, its bound, and how it may be taken back."""

from __future__ import annotations

from concurrent.futures import CancelledError

import numpy as np
import pytest

from rnnedge_runtime import InputError, QueueFullError


def _joined(batch, count):
    return [batch.join() for _ in range(count)]


def test_nobody_waits_for_a_long_push(running_sum):
    batch = running_sum.batch(2, most_frames=4)
    long, short = _joined(batch, 2)
    slow = long.push(np.ones((1, 10, 2), np.float32))
    quick = [short.push(np.ones((1, 1, 2), np.float32)) for _ in range(3)]
    for done in range(1, 4):
        batch.tick()
        assert [future.done() for future in quick] == [i < done for i in range(3)]
        assert slow.done() == (done == 3)
    np.testing.assert_array_equal(slow.result()[0, :, 0], np.arange(1, 11))


def test_a_full_queue_refuses_and_takes_more_after_a_tick(running_sum):
    batch = running_sum.batch(2, queue=2)
    stream, other = _joined(batch, 2)
    x = np.ones((1, 1, 2), np.float32)
    futures = [stream.push(x), stream.push(x)]
    with pytest.raises(QueueFullError, match="2 pushes of this stream wait already"):
        stream.push(x)
    other.push(x)
    batch.tick()
    futures.append(stream.push(x))
    batch.tick()
    batch.tick()
    assert [future.result(timeout=0)[0, 0, 0] for future in futures] == [1, 2, 3]


def test_a_push_that_is_cancelled_before_its_turn_is_taken_back(running_sum):
    batch = running_sum.batch(1)
    stream = batch.join()
    x = np.ones((1, 1, 2), np.float32)
    first, second, third = (stream.push(x) for _ in range(3))
    assert second.cancel()
    while batch.ready:
        batch.tick()
    assert (first.result()[0, 0, 0], third.result()[0, 0, 0], stream.frames) == (1, 2, 2)
    with pytest.raises(CancelledError):
        second.result(timeout=0)


def test_what_waits_fails_when_its_stream_leaves_or_the_batch_is_closed(running_sum):
    batch = running_sum.batch(2)
    gone, closed = _joined(batch, 2)
    x = np.ones((1, 1, 2), np.float32)
    futures = gone.push(x), closed.push(x)
    gone.leave()
    with pytest.raises(InputError, match="the push was dropped: the stream has left"):
        futures[0].result(timeout=0)
    batch.close()
    with pytest.raises(InputError, match="the push was dropped: the batch has been closed"):
        futures[1].result(timeout=0)
    for use in (lambda: gone.push(x), gone.snapshot, gone.reset, gone.leave, lambda: gone.state):
        with pytest.raises(InputError, match="the stream has left its batch"):
            use()
    assert repr(gone) == "<BatchStream that has left>"


def test_a_signal_that_was_ended_takes_no_more(running_sum):
    batch = running_sum.batch(1)
    stream = batch.join()
    x = np.ones((1, 1, 2), np.float32)
    stream.flush()
    late = stream.push(x)
    batch.tick()
    batch.tick()
    with pytest.raises(InputError, match="the signal has been ended by flush"):
        late.result(timeout=0)
    with pytest.raises(InputError, match="the signal has been ended by flush"):
        stream.push(x)
    with pytest.raises(InputError, match="the signal has been ended by flush"):
        batch.push([stream], x)
    stream.reset()
    assert batch.push([stream], x)[0, 0, 0] == 1
