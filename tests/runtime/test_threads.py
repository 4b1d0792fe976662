"""One model, many threads: each with a stream of its own, or all with one batch."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

THREADS = 8


def test_streams_of_one_model_do_not_disturb_each_other(make_twin):
    """Bit for bit what the same pushes give one after the other, with every call of a stream."""
    twin = make_twin("LSTM", 16, 48, 2, 0)
    model = twin.load()

    def life(seed):
        rng = np.random.default_rng(seed)
        stream, outputs = model.stream(), []
        for step in range(60):
            x = twin.signal(1, int(rng.integers(1, 6)), 1000 * seed + step)
            outputs.append(stream.push(x))
            if step % 20 == 7:
                stream = stream.fork()
            if step % 20 == 13:
                stream.restore(stream.snapshot())
            if step == 30:
                stream.reset()
        return np.concatenate(outputs, axis=1), stream.snapshot()

    alone = [life(seed) for seed in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(life, range(THREADS)))
    for (expected, expected_state), (found, state) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert state == expected_state


def test_threads_that_push_to_one_batch_get_what_they_get_alone(lstm):
    """While one thread ticks, others join, push, reset and leave."""
    model = lstm.load()
    batch, is_over = model.batch(THREADS, rows=4, queue=4), threading.Event()

    def tick():
        while not is_over.is_set():
            batch.tick()

    def life(seed):
        for _ in range(4):
            stream, lone = batch.join(), model.stream()
            parts = [lstm.signal(1, 1 + step % 3, 100 * seed + step) for step in range(12)]
            for part in parts[:4]:
                stream.push(part).result(timeout=60)
            stream.reset()
            futures = [stream.push(part) for part in parts[4:8]]
            for future, part in zip(futures, parts[4:8], strict=True):
                found, expected = future.result(timeout=60), lone.push(part)
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
            stream.leave()
        return seed

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(life, range(THREADS))) == list(range(THREADS))
    finally:
        is_over.set()
        ticking.join()
    assert batch.joined == 0


def test_python_goes_on_in_other_threads_through_a_run(make_twin):
    """A run that held Python's global lock would let nobody count."""
    twin = make_twin("LSTM", 64, 256, 2, 0)
    x = twin.signal(1, 500)
    stream = twin.load().stream()
    stream.push(x)  # what the first push of a shape sets up is done
    started, ended = threading.Event(), threading.Event()

    def push():
        started.set()
        stream.push(x)
        ended.set()

    thread = threading.Thread(target=push)
    thread.start()
    started.wait()
    count = 0
    while not ended.is_set():
        count += 1
    thread.join()
    assert count > 1000
