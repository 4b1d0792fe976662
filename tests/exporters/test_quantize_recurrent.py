"""RNN, GRU and LSTM in small integers: the same formula as onnxruntime's float operator."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantized_models import FEATURES, HIDDEN, recurrent_file, snr_db

from rnnedge_exporters.errors import QuantizeError
from rnnedge_exporters.quantize import QuantizeOptions, calibrate, quantize_model
from rnnedge_runtime import load

ENOUGH_DB = {"int8": 28.0, "static": 28.0, "weights8": 33.0, "weights4": 13.0}
"""Swapped gates or biases, or the other GRU, fall far below that of int8."""

CELLS = {
    "RNN": ("RNN", {}),
    "RNN Relu": ("RNN", {"activation": "Relu"}),
    "GRU, PyTorch's": ("GRU", {"linear_before_reset": 1}),
    "GRU, the textbook's": ("GRU", {"linear_before_reset": 0}),
    "LSTM": ("LSTM", {}),
}


def operators(quantized):
    return [node.op_type for node in quantized.model.graph.all_nodes()]


def signal(frames=30, batch=2, seed=1):
    return np.random.default_rng(seed).standard_normal((frames, batch, FEATURES), dtype=np.float32)


def quantized(data, kind="int8", form="auto", **options):
    ranges = {}
    if kind == "static":
        ranges = calibrate(data, [{"x": frame[None]} for frame in signal(seed=2)]).ranges
    chosen = QuantizeOptions(kind=kind, form=form, compute_from=0, ranges=ranges, **options)
    return quantize_model(data, chosen)


@pytest.mark.parametrize("form", ["step", "chunks"])
@pytest.mark.parametrize("kind", ENOUGH_DB)
@pytest.mark.parametrize("cell", CELLS)
def test_each_form_and_kind_is_the_operators_formula(cell, kind, form):
    data = recurrent_file(CELLS[cell][0], **CELLS[cell][1])
    result = quantized(data, kind, form)
    assert not {"RNN", "GRU", "LSTM"} & set(operators(result))
    x = signal()
    stream, expected = load(result.to_bytes()).stream(batch=2), load(data).run(x)
    first, second = stream.push(x[:13]), stream.push(x[13:])
    enough = ENOUGH_DB[kind] - (6 if cell == "RNN Relu" else 0)  # grows without a bound
    assert snr_db(expected.outputs["y"], np.concatenate([first, second])) > enough
    for name, state in expected.states.items():
        assert snr_db(state, stream.state[name]) > enough - 3, name


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("direction", ["bidirectional", "reverse"])
def test_directions_other_than_forward_keep_their_order(cell, direction):
    kind, attributes = CELLS[cell]
    directions = 2 if direction == "bidirectional" else 1
    data = recurrent_file(
        kind,
        directions=directions,
        mode="sequence",
        has_states=False,
        direction=direction,
        **attributes,
    )
    result = quantized(data, form="chunks")
    x = signal()
    got = load(result.to_bytes()).run(x).outputs["y"]
    assert snr_db(load(data).run(x).outputs["y"], got) > 22


@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_without_bias_or_states_starts_from_zero(cell):
    kind, attributes = CELLS[cell]
    data = recurrent_file(kind, has_bias=False, has_states=False, mode="sequence", **attributes)
    x = signal()
    got = load(quantized(data, form="chunks").to_bytes()).run(x).outputs["y"]
    assert snr_db(load(data).run(x).outputs["y"], got) > 22


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_a_step_gives_the_same_bits_for_any_chunks(cuts):
    model = load(quantized(recurrent_file("GRU", linear_before_reset=1)).to_bytes())
    x = signal(sum(cuts), 1)
    whole, parts, at = model.stream(), model.stream(), 0
    for count in cuts:
        parts.push(x[at : at + count])
        at += count
    for frame in x:
        whole.push(frame[None])
    np.testing.assert_array_equal(parts.state["h"], whole.state["h"])


@pytest.mark.parametrize(("kind", "is_alone"), [("static", True), ("int8", False)])
def test_rows_share_a_range_only_where_it_is_found_in_the_run(kind, is_alone):
    """docs/quantize.md and docs/many-streams.md say so."""
    model = load(quantized(recurrent_file("GRU", linear_before_reset=1), kind).to_bytes())
    x = signal()
    x[:, 1] *= 3
    both, alone = model.stream(batch=2).push(x), model.stream().push(x[:, :1])
    assert np.array_equal(both[:, :, :1], alone) == is_alone


def test_the_contract_carries_over_but_for_proof_and_length_of_runs():
    data = recurrent_file("GRU", linear_before_reset=1)
    before, after = load(data).contract, load(quantized(data).to_bytes()).contract
    assert (after.inputs, after.outputs, after.states) == (
        before.inputs,
        before.outputs,
        before.states,
    )
    assert after.parity is None
    assert after.chunk_most == 1
    told = after.source["quantized"]
    assert (told["kind"], told["layers"][0]["stored"]) == ("int8", "int8")


def test_an_lstm_keeps_runs_of_any_length_by_its_own_operator():
    data = recurrent_file("LSTM", extra=["P"], clip=3.0)
    result = quantized(data)
    assert operators(result) == ["DynamicQuantizeLSTM"]
    assert result.contract.chunk_most is None
    x = signal()
    got = load(result.to_bytes()).run(x).outputs["y"]
    assert snr_db(load(data).run(x).outputs["y"], got) > ENOUGH_DB["int8"]


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("LSTM", {"extra": ["P"]}, "it has peepholes"),
        ("LSTM", {"input_forget": 1}, "its input gate is coupled to the forget gate"),
        ("GRU", {"clip": 2.0}, "it clips"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "its activations are hardsigmoid, tanh"),
    ],
)
def test_what_products_cannot_say_is_stored_in_int8_and_computed_in_float(kind, options, why):
    data = recurrent_file(kind, **options)
    result = quantized(data, form="step")
    (layer,) = result.layers
    assert (layer.stored, layer.why) == ("int8, computed in float", why)
    assert kind in operators(result)
    x = signal()
    got = load(result.to_bytes()).run(x).outputs["y"]
    assert snr_db(load(data).run(x).outputs["y"], got) > 33


def test_lengths_by_row_stay_with_the_operator():
    data = recurrent_file("GRU", extra=["lengths"], has_states=False, mode="sequence")
    (layer,) = quantized(data, form="chunks").layers
    assert layer.why == "it takes lengths by row"


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_layer_in_a_branch_with_its_weights_there_is_quantised_too(kind):
    data = recurrent_file(kind, has_states=False)
    model, node = onnx.load_model_from_string(data), onnx.helper.make_node
    branches = {}
    for name in ("then_branch", "else_branch"):
        constants = [node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
        layer = onnx.NodeProto()
        layer.CopyFrom(model.graph.node[0])
        layer.output[:], layer.name = [f"{name}.y"], name
        result = onnx.helper.make_tensor_value_info(f"{name}.y", 1, None)
        branches[name] = onnx.helper.make_graph([*constants, layer], name, [], [result])
    del model.graph.node[:], model.graph.initializer[:]
    yes = onnx.numpy_helper.from_array(np.array(True), "yes")
    model.graph.initializer.append(yes)
    model.graph.node.append(node("If", ["yes"], ["y"], **branches))
    result = quantized(model.SerializeToString(), form="chunks")
    assert [layer.stored for layer in result.layers] == ["int8", "int8"]
    x = signal()
    got = load(result.to_bytes()).run(x).outputs["y"]
    assert snr_db(load(data).run(x).outputs["y"], got) > 22


def test_a_file_that_fails_on_zeros_is_refused():
    """A state of 2 * 32 numbers does not divide by 7."""
    model = onnx.load_model_from_string(recurrent_file("GRU", linear_before_reset=1))
    graph, node = model.graph, onnx.helper.make_node
    graph.node[0].output[0] = "given"
    graph.node.append(node("Reshape", ["h", "sizes"], ["sevens"]))
    graph.node.append(node("ReduceSum", ["sevens"], ["sum"], keepdims=0))
    graph.node.append(node("Add", ["given", "sum"], ["y"]))
    sizes = onnx.numpy_helper.from_array(np.array([7, -1], np.int64), "sizes")
    graph.initializer.append(sizes)
    with pytest.raises(QuantizeError, match="the float file cannot be run on zeros") as caught:
        quantize_model(model.SerializeToString())
    assert "check the file with rnnedge run" in str(caught.value)


def test_a_sequence_over_another_axis_than_time_is_not_a_step():
    """Frequencies of a frame: the file gives each run's 5 of them to the layer as its sequence."""
    model = onnx.load_model_from_string(recurrent_file("GRU", features=1, has_states=False))
    x = model.graph.input[0]
    result = quantize_model(_over_frequency(model, x), QuantizeOptions(compute_from=0))
    (layer,) = result.layers
    assert layer.why == "its sequence is longer than a frame"
    assert result.contract.chunk_most is None


def _over_frequency(model, x):
    from rnnedge_runtime.contract import METADATA_KEY, Contract, Port

    nodes = [
        onnx.helper.make_node("Transpose", ["x"], ["t"], perm=[2, 0, 1]),
        onnx.helper.make_node("Reshape", ["t", "folded"], ["f"]),
    ]
    model.graph.node[0].input[0] = "f"
    model.graph.node.insert(0, nodes[0])
    model.graph.node.insert(1, nodes[1])
    for sizes in (x.type.tensor_type.shape.dim,):
        sizes[0].dim_param, sizes[1].dim_param, sizes[2].dim_value = "batch", "time", 5
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([5, -1, 1], np.int64), "folded")
    )
    model.graph.node.append(onnx.helper.make_node("ReduceMean", ["y", "over"], ["z"], keepdims=0))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 1, 2]), "over"))
    model.graph.node.append(onnx.helper.make_node("Identity", ["z"], ["out"]))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("out", 1, [HIDDEN]))
    contract = Contract(
        "stream",
        (Port("x", "float32", ("batch", "time", 5), 0, 1),),
        (Port("out", "float32", (HIDDEN,), None, None),),
    )
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    return model.SerializeToString()


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_small_layers_compute_in_float(kind):
    (layer,) = quantize_model(recurrent_file(kind)).layers
    assert layer.stored == "int8, computed in float"
    assert layer.why.startswith("faster so below")
