"""Batches: streams that share runs give what they would give alone."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import pytest
from aligned_models import ALL
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnedge_runtime import load

ULP = 16
"""Runs of another batch size take other kernels, whose sums are in another order."""


def assert_same(got, expected):
    """Equal but for the last bits of float32 numbers of order 1."""
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    scale = np.maximum(np.abs(expected), 1)
    assert (np.abs(got - expected) <= ULP * np.finfo(np.float32).eps * scale).all()


@pytest.fixture(scope="module")
def models(gru, lstm):
    aligned = {f"aligned {model.name}": load(model.file()) for model in ALL}
    return {"gru": gru.load(), "lstm": lstm.load(), **aligned}


def signal(model, frames, seed, rows=1):
    port = model.contract.inputs[0]
    shape = [{"batch": rows, "time": frames}.get(dim, dim) for dim in port.shape]
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@dataclass
class Pair:
    """A stream of a batch, the lone stream that does the same, and what is to be compared."""

    ours: object
    lone: object
    is_ended: bool = False
    results: list[tuple[Future, np.ndarray]] = field(default_factory=list)


OPERATIONS = st.one_of(
    st.tuples(st.just("join")),
    st.tuples(st.just("tick")),
    st.tuples(st.just("push"), st.integers(0, 5), st.integers(0, 7)),
    st.tuples(st.just("push"), st.integers(0, 5), st.integers(0, 7)),
    st.tuples(st.just("bulk"), st.integers(0, 63), st.integers(0, 3)),
    st.tuples(st.sampled_from(["flush", "reset", "leave", "move"]), st.integers(0, 5)),
)


class Script:
    """Carries operations out on a batch, and on lone streams beside it."""

    def __init__(self, model, batch):
        self.model, self.batch = model, batch
        self.pairs = []
        self.seed = 0

    def do(self, name, *arguments):
        if name in ("flush", "reset", "leave", "move", "push"):
            if not self.pairs:
                return
            arguments = (self.pairs[arguments[0] % len(self.pairs)], *arguments[1:])
        getattr(self, name)(*arguments)

    def join(self):
        if self.batch.joined < self.batch.slots:
            self.pairs.append(Pair(self.batch.join(), self.model.stream()))

    def tick(self):
        self.batch.tick()

    def drain(self):
        while self.batch.ready:
            self.batch.tick()

    def push(self, pair, frames):
        if not pair.is_ended:
            self.seed += 1
            x = signal(self.model, frames, self.seed)
            pair.results.append((pair.ours.push(x), pair.lone.push(x)))

    def bulk(self, which, frames):
        self.drain()
        pairs = [p for i, p in enumerate(self.pairs) if which >> i & 1 and not p.is_ended]
        multiple = self.model.contract.chunk_multiple
        if len({pair.ours.frames % multiple for pair in pairs}) > 1:
            return  # outputs of different lengths: a test of its own
        self.seed += 1
        x = signal(self.model, frames, self.seed, len(pairs))
        axis = self.model.contract.inputs[0].batch_axis
        y = self.batch.push([pair.ours for pair in pairs], x)
        for row, pair in enumerate(pairs):
            expected = pair.lone.push(np.take(x, [row], axis))
            assert_same(np.take(y, [row], self.model.contract.outputs[0].batch_axis), expected)

    def flush(self, pair):
        if not pair.is_ended:
            pair.results.append((pair.ours.flush(), pair.lone.flush()))
            pair.is_ended = True

    def reset(self, pair):
        pair.ours.reset()
        pair.lone.reset()
        pair.is_ended = False

    def leave(self, pair):
        self.drain()
        self.compare(pair)
        pair.ours.leave()
        self.pairs.remove(pair)

    def move(self, pair):
        """To another slot, by way of a lone stream."""
        self.drain()
        self.compare(pair)
        if self.batch.joined < self.batch.slots:
            pair.lone.restore(pair.ours.snapshot())
            pair.ours.leave()
            pair.ours = self.batch.join()
            pair.ours.restore(pair.lone.snapshot())

    def compare(self, pair):
        for future, expected in pair.results:
            assert_same(future.result(timeout=0), expected)
        pair.results.clear()
        assert pair.ours.frames == pair.lone.frames
        for name, value in pair.lone.state.items():
            assert_same(pair.ours.state[name], value)


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(["gru", "lstm", *(f"aligned {model.name}" for model in ALL)]),
    slots=st.integers(1, 7),
    rows=st.sampled_from([1, 2, 3, 7]),
    most_frames=st.sampled_from([1, 4, 64]),
    operations=st.lists(OPERATIONS, max_size=30),
)
def test_streams_that_do_anything_give_what_they_give_alone(
    models, name, slots, rows, most_frames, operations
):
    model = models[name]
    batch = model.batch(slots, rows=rows, most_frames=most_frames, queue=99)
    script = Script(model, batch)
    for operation in [("join",)] * 5 + operations:
        script.do(*operation)
    script.drain()
    for pair in script.pairs:
        script.compare(pair)
