"""Streams on every provider that this machine has; the others are skipped, with the reason.

The tests are the same for all of them: on a machine with a GPU they run on CUDA. A device with
memory of its own is tried wherever WebGPU finds a driver, be it one that computes on the processor.
"""

from __future__ import annotations

import numpy as np
import pytest
from provider_models import PROVIDERS, opened

from rnnedge_runtime import ProviderError
from rnnedge_runtime.providers import about, full_name


@pytest.fixture(scope="module")
def step(make):
    """``h' = tanh(W x + U h)`` one frame at a time, without a recurrent operator; ``y = 2 h'``."""
    rng = np.random.default_rng(0)
    weights = {
        "W": rng.standard_normal((3, 4)).astype(np.float32),
        "U": rng.standard_normal((4, 4)).astype(np.float32) / 2,
        "two": np.array(2, np.float32),
        "time": np.array([1], np.int64),
    }
    node = make.node
    nodes = [
        node("Squeeze", ["x", "time"], ["frame"]),
        node("MatMul", ["frame", "W"], ["a"], name="a"),
        node("MatMul", ["h", "U"], ["b"], name="b"),
        node("Add", ["a", "b"], ["sum"]),
        node("Tanh", ["sum"], ["h.next"]),
        node("Mul", ["h.next", "two"], ["twice"]),
        node("Unsqueeze", ["twice", "time"], ["y"]),
    ]
    contract = make.sum_contract(
        chunk_most=1,
        inputs=(make.port("x", "batch", "time", 3),),
        outputs=(make.port("y", "batch", "time", 4),),
        states=(make.state("h", "batch", 4),),
    )
    return make.file(contract, nodes, weights), weights


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_is_as_good_as_torch_in_outputs_and_states(make_twin, provider, kind):
    twin = make_twin(kind, 3, 5, 2, 0)
    if kind not in about(full_name(provider)).recurrent:
        with pytest.raises(ProviderError, match=f"that matter: {kind} went to"):
            opened(twin.data, provider)
        return
    model = opened(twin.data, provider)
    assert {n.provider for n in model.assignment if n.op_type == kind} == {model.provider}
    x = twin.signal(batch=3, frames=20)
    stream = model.stream(batch=3)
    y = np.concatenate([stream.push(x[:, a:b]) for a, b in [(0, 1), (1, 2), (2, 9), (9, 20)]], 1)
    twin.assert_as_good_as_torch(x, {"y": y, **stream.state})
    whole = model.run(x)
    twin.assert_as_good_as_torch(x, {**whole.outputs, **whole.states})


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_step_without_recurrent_operators_streams(step, provider):
    data, weights = step
    stream = opened(data, provider).stream(batch=2)
    x = np.random.default_rng(1).standard_normal((2, 12, 3)).astype(np.float32)
    y = np.concatenate([stream.push(x[:, :5]), stream.push(x[:, 5:])], axis=1)
    h = np.zeros((2, 4))
    for frame in range(12):
        h = np.tanh(x[:, frame] @ weights["W"].astype(np.float64) + h @ weights["U"])
        np.testing.assert_allclose(y[:, frame], 2 * h, atol=2e-6)
    np.testing.assert_allclose(stream.state["h"], h, atol=1e-6)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_reset_snapshot_and_fork_are_bit_equal_on_the_device(gru, provider):
    x = gru.signal(batch=2, frames=9)
    model = opened(gru.data, provider, needs="GRU")
    stream = model.stream(batch=2)
    first = stream.push(x)
    kept, fork = stream.snapshot(), stream.fork()
    onward = stream.push(x[:, :4])
    np.testing.assert_array_equal(fork.push(x[:, :4]), onward)
    stream.restore(kept)
    np.testing.assert_array_equal(stream.push(x[:, :4]), onward)
    stream.reset([1])
    assert not stream.state["rnn.0.h"][:, 1].any()
    assert stream.state["rnn.0.h"][:, 0].any()
    stream.reset()
    np.testing.assert_array_equal(stream.push(x), first)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_moves_to_the_cpu_and_back(gru, provider):
    x = gru.signal(batch=2, frames=30)
    there, here = opened(gru.data, provider).stream(batch=2), gru.load().stream(batch=2)
    parts = [there.push(x[:, :10])]
    here.restore(there.snapshot())
    parts.append(here.push(x[:, 10:20]))
    there.restore(here.snapshot())
    parts.append(there.push(x[:, 20:]))
    gru.assert_as_good_as_torch(x, {"y": np.concatenate(parts, axis=1), **there.state})


@pytest.mark.parametrize("provider", PROVIDERS)
def test_states_lie_where_the_session_reads_them_and_are_bound_once(lstm, provider):
    model = opened(lstm.data, provider, needs="LSTM")
    stream = model.stream(batch=2)
    stream.push(lstm.signal(batch=2, frames=3))
    tensors = stream._engine.state.tensors
    assert {tensor.device_name() for tensor in tensors.values()} == {model.device[0]}
    binding = model.session.io_binding()
    for state in model.contract.states:
        assert model.memory.bind_tensor(binding, state.input, tensors[state.name]) is None


@pytest.mark.parametrize("provider", PROVIDERS)
def test_states_that_other_nodes_read_on_the_host_stay_on_the_host(make, provider):
    """A state in float32, which all take, and one in float64, which many leave to the CPU."""
    contract = make.sum_contract(
        inputs=(make.port("x", "batch", "time", 2),),
        outputs=(make.port("y", "batch", "time", 2),),
        states=(make.state("a", "batch", 2), make.state("b", "batch", 2, dtype="float64")),
    )
    node = make.node
    nodes = [
        node("ReduceSum", ["x", "ones"], ["added"], keepdims=0),
        node("Add", ["a", "added"], ["a.next"]),
        node("Cast", ["added"], ["wide"], to=11),
        node("Add", ["b", "wide"], ["b.next"]),
        node("Cast", ["b.next"], ["narrow"], to=1),
        node("Sub", ["a.next", "narrow"], ["apart"]),
        node("Unsqueeze", ["apart", "ones"], ["apart3"]),
        node("Add", ["x", "apart3"], ["y"]),
    ]
    model = opened(make.file(contract, nodes, make.sum_constants()), provider)
    x = np.arange(24, dtype=np.float32).reshape(2, 6, 2)
    stream = model.stream(batch=2)
    for start in range(0, 6, 2):
        np.testing.assert_array_equal(stream.push(x[:, start : start + 2]), x[:, start : start + 2])
        np.testing.assert_array_equal(stream.state["a"], x[:, : start + 2].sum(1))
        np.testing.assert_array_equal(stream.state["b"], x[:, : start + 2].sum(1))
    stream.reset([0])
    stream.push(x[:, :1])
    np.testing.assert_array_equal(stream.state["b"], x[:, 0] + [[0, 0], x[1].sum(0)])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_memory_that_is_closed_is_reached_by_binding_anew(gru, provider):
    """As on a device whose allocator onnxruntime does not hand out."""
    model = opened(gru.data, provider, needs="GRU")
    closed = dict.fromkeys(("x", "rnn.0.h"))
    model.memory._makers.update(closed)
    stream = model.stream(batch=2)
    x = gru.signal(batch=2, frames=9)
    y = np.concatenate([stream.push(x[:, frame : frame + 1]) for frame in range(9)], axis=1)
    gru.assert_as_good_as_torch(x, {"y": y, **stream.state})
    assert {tensor.device_name() for tensor in stream._engine.state.tensors.values()} == {"cpu"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_streams_that_share_runs_are_those_that_run_alone(gru, provider):
    model = opened(gru.data, provider, needs="GRU")
    x = gru.signal(batch=3, frames=4)
    alone = model.stream(batch=3).push(x)
    with model.batch(4, rows=2) as batch:
        slots = [batch.join() for _ in range(3)]
        shared = [batch.push(slots, x[:, t : t + 1]) for t in range(4)]
    np.testing.assert_allclose(np.concatenate(shared, axis=1), alone, atol=1e-6)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_two_streams_of_one_model_keep_apart(gru, provider):
    model = opened(gru.data, provider, needs="GRU")
    x = gru.signal(batch=2, frames=8)
    alone = model.stream(batch=2).push(x)
    one, other = model.stream(batch=2), model.stream(batch=2)
    found = []
    for frame in range(8):
        found.append(one.push(x[:, frame : frame + 1]))
        other.push(-x[:, frame : frame + 1])
    np.testing.assert_allclose(np.concatenate(found, axis=1), alone, atol=1e-6)
