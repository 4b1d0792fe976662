"""States in fewer bits: tests are named after the rules of the pass."""

import base64
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from quantized_models import FEATURES, HIDDEN, recurrent_file

from rnnedge_exporters.errors import QuantizeError
from rnnedge_exporters.quantize import QuantizeOptions, calibrate, quantize_model
from rnnedge_runtime import load
from rnnedge_runtime.contract import METADATA_KEY, TENSOR_KEY_PREFIX, read

RNG = np.random.default_rng(5)
X = RNG.standard_normal((40, 3, FEATURES), dtype=np.float32)


def with_contract(data, change, texts=None):
    """The same file with another contract, and further metadata."""
    model = onnx.load_model_from_string(data)
    notes = {prop.key: prop.value for prop in model.metadata_props}
    notes[METADATA_KEY] = change(read(notes[METADATA_KEY])).to_json()
    onnx.helper.set_model_props(model, notes | (texts or {}))
    return model.SerializeToString()


def stored(data, states, *, keeps_weights=True, seen=X):
    runs = [{"x": frame[None]} for frame in seen] if states == "int8" else []
    sizes = calibrate(data, runs).states
    keep = {"layer": "asked for"} if keeps_weights else {}
    options = QuantizeOptions(states=states, state_sizes=sizes, keep=keep)
    return quantize_model(data, options)


def steps_of(quantized, name):
    """Of each channel; 1 for halves."""
    found = quantized.model.graph.initializers.get(f"{name}/stored.step")
    return np.ones(1, np.float32) if found is None else found.const_value.numpy()


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("states", ["float16", "int8"])
def test_a_state_is_rounded_between_runs_and_nowhere_else(kind, states):
    data = recurrent_file(kind)
    quantized = stored(data, states)
    stream = load(quantized.to_bytes()).stream(batch=X.shape[1])
    once = load(data).stream(batch=X.shape[1])
    for frame in X:
        once.set_state({n: v * steps_of(quantized, n) for n, v in stream.state.items()})
        np.testing.assert_allclose(stream.push(frame[None]), once.push(frame[None]), atol=1e-6)
        for name, value in stream.state.items():
            assert value.dtype == states
            steps, exact = steps_of(quantized, name), once.state[name]
            exact = np.clip(exact, -127 * steps, 127 * steps)
            half = (
                np.spacing(np.abs(exact).astype(np.float16)) if states == "float16" else steps / 2
            )
            apart = np.abs(value.astype(np.float32) * steps - exact)
            assert (apart <= 1.001 * half + 1e-6).all()


def test_there_is_room_for_a_quarter_more_than_calibration_saw():
    data = recurrent_file("LSTM")
    stream, largest = load(data).stream(batch=X.shape[1]), 0.0
    for frame in X:
        stream.push(frame[None])
        largest = np.maximum(largest, np.abs(stream.state["c"]).max(axis=(0, 1)))
    steps = steps_of(stored(data, "int8"), "c").reshape(-1)
    np.testing.assert_allclose(steps, 1.25 * largest / 127, rtol=1e-6)


def test_what_lies_beyond_is_cut_off():
    data = recurrent_file("RNN", activation="Relu")
    quantized = stored(data, "int8", seen=X[:2] * 1e-3)
    stream = load(quantized.to_bytes()).stream(batch=3)
    stream.push(X)
    assert stream.state["h"].max() == 127


@pytest.mark.parametrize("states", ["float16", "int8"])
def test_initial_values_are_rounded_alike(states):
    first = RNG.uniform(-1, 1, HIDDEN).astype(np.float32)
    key = f"{TENSOR_KEY_PREFIX}h"
    texts = {key: base64.b64encode(first.astype("<f4").tobytes()).decode()}
    data = with_contract(
        recurrent_file("LSTM"),
        lambda c: replace(
            c, states=(replace(c.states[0], tensor=key), replace(c.states[1], fill=0.3))
        ),
        texts,
    )
    quantized = stored(data, states)
    stream = load(quantized.to_bytes()).stream(batch=2)
    for name, expected in (("h", first), ("c", 0.3)):
        steps = steps_of(quantized, name)
        half = 1e-3 if states == "float16" else steps / 2 + 1e-6
        assert (np.abs(stream.state[name] * steps - expected) <= half).all()


def starting_at(value):
    """An LSTM whose hidden state starts there."""
    key = f"{TENSOR_KEY_PREFIX}h"
    lowest = np.full(HIDDEN, value, "<f4").tobytes()
    return with_contract(
        recurrent_file("LSTM"),
        lambda c: replace(c, states=(replace(c.states[0], tensor=key), c.states[1])),
        {key: base64.b64encode(lowest).decode()},
    )


def dtypes(quantized):
    return [state.dtype for state in quantized.contract.states]


@pytest.mark.parametrize(
    ("start", "states"), [(-np.inf, "float16"), (-1e9, "float16"), (-1e9, "int8"), (9, "int8")]
)
def test_a_state_that_starts_far_away_stays_in_float(start, states):
    quantized = stored(starting_at(start), states)
    assert dtypes(quantized) == ["float32", states]
    load(quantized.to_bytes()).stream().push(X[:3, :1])


def test_running_totals_stay_in_float():
    data = with_contract(
        recurrent_file("LSTM"),
        lambda c: replace(c, states=(c.states[0], replace(c.states[1], kind="buffer"))),
    )
    assert dtypes(stored(data, "float16")) == ["float16", "float32"]


def test_halves_are_cut_off_at_their_largest():
    data = recurrent_file("RNN", activation="Relu")
    stream = load(stored(data, "float16").to_bytes()).stream()
    stream.push(np.full((1, 1, FEATURES), 1e6, np.float32))
    assert stream.state["h"].max() == np.finfo(np.float16).max


def test_a_channel_that_was_only_zero_has_the_largest_step():
    model = onnx.load_model_from_string(recurrent_file("RNN", activation="Relu"))
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).copy()
        array[:, :1] = 0
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    bias = next(t for t in model.graph.initializer if t.name == "B")
    array = onnx.numpy_helper.to_array(bias).copy()
    array[:, [0, HIDDEN]] = 0
    bias.CopyFrom(onnx.numpy_helper.from_array(array, "B"))
    steps = steps_of(stored(model.SerializeToString(), "int8"), "h").reshape(-1)
    assert steps[0] == steps[1:].max()


def test_calibration_that_tells_nothing_is_refused():
    data = recurrent_file("GRU", has_bias=False)
    with pytest.raises(QuantizeError, match="zero throughout") as raised:
        stored(data, "int8", seen=np.zeros_like(X))
    assert raised.value.where == "state 'h'"
    broken = X.copy()
    broken[5, 0, 0] = np.nan
    with pytest.raises(QuantizeError, match="gives NaN") as raised:
        stored(data, "int8", seen=broken)
    assert raised.value.where == "state 'h', after run 6"


def test_streams_of_a_batch_carry_such_states_too():
    model = load(stored(recurrent_file("GRU"), "int8", keeps_weights=False).to_bytes())
    batch = model.batch(slots=4)
    streams = [batch.join() for _ in range(3)]
    alone = [model.stream() for _ in range(3)]
    for frame in X[:10, :1]:
        got = batch.push(streams, np.repeat(frame[None], 3, axis=1))
        for row, stream in enumerate(alone):
            np.testing.assert_allclose(
                got[:, :, row : row + 1], stream.push(frame[None]), atol=1e-6
            )


def test_int8_needs_calibration_and_says_of_which_state():
    with pytest.raises(QuantizeError, match="need calibration") as raised:
        quantize_model(recurrent_file("GRU"), QuantizeOptions(states="int8"))
    assert raised.value.where == "state 'h'"


def test_a_file_without_float_states_has_none_to_store():
    data = recurrent_file("GRU", has_states=False)
    with pytest.raises(QuantizeError, match="no state of float32"):
        quantize_model(data, QuantizeOptions(states="float16"))


def test_layers_alone_are_measured_with_states_in_float():
    options = QuantizeOptions(states="float16", only=frozenset({"layer"}))
    quantized = quantize_model(recurrent_file("GRU"), options)
    assert dtypes(quantized) == ["float32"]
    assert "states" not in json.loads(quantized.contract.to_json())["source"]["quantized"]
