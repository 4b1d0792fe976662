"""The asyncio front of a batch: whoever awaits a push gets what a lone stream gives."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from rnnedge_runtime import AsyncBatch, InputError

ONES = np.ones((1, 1, 2), np.float32)


def run(coroutine):
    """To its end, but not longer than any of these tests can take."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@pytest.mark.parametrize("max_wait_ms", [0, 1])
@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_that_come_and_go_get_what_they_get_alone(lstm, max_wait_ms, workers):
    model = lstm.load()

    async def task(front, seed):
        rng = np.random.default_rng(seed)
        stream, lone = front.join(), model.stream()
        for step in range(8):
            x = lstm.signal(1, int(rng.integers(1, 5)), seed * 100 + step)
            y = await stream.push(x)
            np.testing.assert_allclose(y, lone.push(x), rtol=0, atol=1e-6)
            if rng.random() < 0.2:
                await asyncio.sleep(0)
        assert (await stream.flush()).shape == (1, 0, 5)
        stream.leave()

    async def main():
        batch = model.batch(20, rows=8, workers=workers)
        async with AsyncBatch(batch, max_wait_ms=max_wait_ms) as front:
            await asyncio.gather(*(task(front, seed) for seed in range(20)))
            await asyncio.gather(*(task(front, seed) for seed in range(20, 30)))
            assert batch.joined == 0

    run(main())


def test_no_push_waits_when_all_are_there(running_sum):
    async def main():
        async with AsyncBatch(running_sum.batch(8), max_wait_ms=3_600_000) as front:
            streams = [front.join() for _ in range(8)]
            for total in (1, 2, 3):
                results = await asyncio.gather(*(stream.push(ONES) for stream in streams))
                assert [y[0, 0, 0] for y in results] == [total] * 8

    run(main())


def test_a_push_waits_for_company_and_not_for_ever(running_sum):
    async def main():
        async with AsyncBatch(running_sum.batch(2), max_wait_ms=50) as front:
            stream, _ = front.join(), front.join()
            start = time.monotonic()
            assert (await stream.push(ONES))[0, 0, 0] == 1
            assert time.monotonic() - start >= 0.049

    run(main())


def test_pushes_of_one_stream_keep_their_order_and_wait_for_room(running_sum):
    async def main():
        async with AsyncBatch(running_sum.batch(1, queue=2), max_wait_ms=0) as front:
            stream = front.join()
            results = await asyncio.gather(*(stream.push(ONES) for _ in range(10)))
            assert [y[0, 0, 0] for y in results] == list(range(1, 11))

    run(main())


def test_a_push_whose_task_is_cancelled_is_taken_back(running_sum):
    async def main():
        async with AsyncBatch(running_sum.batch(2), max_wait_ms=50) as front:
            stream, other = front.join(), front.join()
            task = asyncio.create_task(stream.push(ONES))
            await asyncio.sleep(0)
            task.cancel()
            await other.push(ONES)
            assert (await stream.push(ONES))[0, 0, 0] == 1
            assert stream.frames == 1

    run(main())


def test_a_reset_takes_its_turn_after_what_waits(running_sum):
    async def main():
        async with AsyncBatch(running_sum.batch(1), max_wait_ms=0) as front:
            stream = front.join()
            first = asyncio.create_task(stream.push(ONES))
            await asyncio.sleep(0)
            stream.reset()
            second = asyncio.create_task(stream.push(ONES))
            assert ((await first)[0, 0, 0], (await second)[0, 0, 0]) == (1, 1)
            assert stream.frames == 1

    run(main())


def test_errors_come_to_who_awaits_them(running_sum):
    async def main():
        front = AsyncBatch(running_sum.batch(2), max_wait_ms=10_000)
        stream, waiting = front.join(), front.join()
        with pytest.raises(InputError, match="the input holds nan"):
            await stream.push(ONES * np.nan)
        task = asyncio.create_task(waiting.push(ONES))
        await asyncio.sleep(0)
        await front.close()
        with pytest.raises(InputError, match="the push was dropped: the batch has been closed"):
            await task
        with pytest.raises(InputError, match="the front has been closed"):
            await stream.push(ONES)
        stream.leave()
        with pytest.raises(InputError, match="the stream has left its batch"):
            await stream.push(ONES)

    run(main())


def test_what_comes_during_a_tick_waits_for_that_tick_alone(running_sum):
    async def main():
        async with AsyncBatch(running_sum.batch(2), max_wait_ms=3_600_000) as front:
            streams = front.join(), front.join()
            ticking = asyncio.gather(*(stream.push(ONES) for stream in streams))
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # by now the tick has begun
            assert front.batch.ready == 0
            assert (await streams[0].push(ONES))[0, 0, 0] == 2
            await ticking

    run(main())


def test_an_error_that_nobody_foresaw_reaches_who_waits(running_sum, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    async def main():
        async with AsyncBatch(running_sum.batch(1), max_wait_ms=0) as front:
            stream = front.join()
            with monkeypatch.context() as patch:
                patch.setattr(front.batch._rows, "advance", fail)
                with pytest.raises(ZeroDivisionError):
                    await stream.push(ONES)
            assert (await stream.push(ONES))[0, 0, 0] == 1

    run(main())


@pytest.mark.parametrize("wait", [-1, float("nan")])
def test_a_wait_below_nothing_is_refused(running_sum, wait):
    with pytest.raises(InputError, match="max_wait_ms must be 0 or more"):
        AsyncBatch(running_sum.batch(1), max_wait_ms=wait)
