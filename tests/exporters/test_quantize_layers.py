"""Rounding, linear layers, tables, convolutions, and what cannot be quantised."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import helper
from quantized_models import layer_file, recurrent_file, snr_db

from rnnedge_exporters.errors import QuantizeError
from rnnedge_exporters.quantize import QuantizeOptions, Range, calibrate, quantize_model
from rnnedge_exporters.quantize.rounding import (
    LEVELS,
    channel_scale,
    shared_scales,
    to_blocks,
    to_levels,
)
from rnnedge_runtime import load

RNG = np.random.default_rng(5)
TIMES = ("batch", "time", 40)
floats = st.floats(-100, 100, width=32)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def both(data, x, kind="int8", **options):
    """What the float file and the quantised one give, and what the file says of its layers."""
    ranges = calibrate(data, [{"x": x}]).ranges if kind == "static" else {}
    chosen = QuantizeOptions(kind=kind, ranges=ranges, **{"compute_from": 0, "least": 0} | options)
    result = quantize_model(data, chosen)
    first, second = (load(file).run(x).outputs["y"] for file in (data, result.to_bytes()))
    return first, second, result


def operators(result):
    return [node.op_type for node in result.model.graph.all_nodes()]


def linear(kind, **attributes):
    """A linear layer of 40 features to 24, and its bias."""
    w, b = normal(40, 24), normal(24)
    if kind == "Gemm":
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="layer", **attributes)]
        w = w.T.copy() if attributes.get("transB") else w
        return layer_file(nodes, {"w": w, "b": b}, ("time", 40), ("time", 24))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="layer"),
        helper.make_node("Add", ["b", "m"], ["y"]),
    ]
    return layer_file(nodes, {"w": w, "b": b}, TIMES, ("batch", "time", 24))


def convolution(kind="Conv", groups=1):
    weights = normal(*((8, 6 // groups, 3) if kind == "Conv" else (6, 8 // groups, 3)))
    node = helper.make_node(kind, ["x", "w", "b"], ["y"], name="layer", group=groups, pads=[1, 1])
    return layer_file(
        [node], {"w": weights, "b": normal(8)}, ("batch", 6, "time"), ("batch", 8, "time")
    )


@given(arrays(np.float32, (5, 7), elements=floats))
def test_levels_are_within_half_a_step(weights):
    scale = channel_scale(np.abs(weights).max(axis=1))[:, None]
    whole = to_levels(weights, scale)
    assert np.abs(whole).max(initial=0) <= LEVELS
    assert (np.abs(whole * scale - weights) <= scale * 0.501).all()


@given(arrays(np.float32, (6, 4), elements=floats), arrays(np.float32, (6, 9), elements=floats))
def test_scales_for_a_pair_cut_nothing_off(w, r):
    scale, ratio = shared_scales(w, r)
    limit = LEVELS * 1.001 * scale[:, None]
    assert (np.abs(w) <= limit * ratio).all()
    assert (np.abs(r) <= limit).all()


@pytest.mark.parametrize("bits", [4, 8])
@given(weights=arrays(np.float32, (3, 40), elements=floats))
def test_blocks_hold_each_weight_to_half_a_step_of_its_block(bits, weights):
    packed, scale = to_blocks(weights, bits, 16)
    assert packed.shape == (3, 3, 16 * bits // 8)
    whole = packed.astype(int)
    if bits == 4:
        whole = np.stack([whole & 15, whole >> 4], axis=-1).reshape(3, 3, 16)
    floats = (whole - 2 ** (bits - 1)) * scale[..., None]
    error = np.abs(floats.reshape(3, 48)[:, :40] - weights)
    assert (error <= np.repeat(scale, 16, axis=1)[:, :40] * 0.501).all()


def test_the_largest_products_do_not_saturate():
    """All at their limits: 2 * 255 * 64 just fits what processors without VNNI add up in."""
    w = np.full((64, 16), 1.5, np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="layer")
    data = layer_file([node], {"w": w}, ("batch", "time", 64), ("batch", "time", 16))
    x = np.full((1, 3, 64), 2.0, np.float32)
    for kind in ("int8", "static"):
        expected, got, result = both(data, x, kind)
        assert operators(result) != ["MatMul"]
        np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_a_range_holds_zero_and_both_of_its_ends():
    for seen in (Range(0.5, 2.0), Range(-3.0, -1.0), Range(-1.0, 3.0), Range(0.0, 0.0)):
        scale, zero = seen.scale_and_zero()
        low, high = -float(zero) * scale, (255 - float(zero)) * scale
        assert low - scale <= min(seen.low, 0) and max(seen.high, 0) <= high + scale  # noqa: PT018


@pytest.mark.parametrize("kind", ["int8", "static", "weights8"])
@pytest.mark.parametrize("layer", [("MatMul", {}), ("Gemm", {}), ("Gemm", {"transB": 1})])
def test_a_linear_layer_becomes_one_product_with_its_bias(layer, kind):
    data = linear(layer[0], **layer[1])
    x = normal(5, 40) if layer[0] == "Gemm" else normal(2, 5, 40)
    ranges = {"x": Range(float(x.min()), float(x.max()))}
    result = quantize_model(
        data, QuantizeOptions(kind=kind, least=0, compute_from=0, ranges=ranges)
    )
    session = load_session(result.to_bytes())
    expected, got = load_session(data).run(None, {"x": x})[0], session.run(None, {"x": x})[0]
    assert not {"MatMul", "Gemm", "Add"} & set(operators(result))
    assert snr_db(expected, got) > 35


def load_session(data):
    import onnxruntime as ort

    return ort.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_a_bias_that_others_read_too_stays_outside_of_the_product():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="layer"),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Mul", ["a", "m"], ["y"]),
    ]
    data = layer_file(nodes, {"w": normal(40, 24), "b": normal(24)}, TIMES, ("batch", "time", 24))
    expected, got, result = both(data, normal(2, 5, 40))
    assert "Add" in operators(result)
    assert snr_db(expected, got) > 30


def test_rows_that_are_looked_up_keep_8_bits():
    table = normal(50, 40) * np.linspace(0.01, 10, 50, dtype=np.float32)[:, None]
    node = helper.make_node("Gather", ["w", "x"], ["y"], name="layer")
    data = layer_file([node], {"w": table}, ("batch", "time"), TIMES, dtype="int64")
    x = RNG.integers(0, 50, (3, 20))
    expected, got, result = both(data, x)
    step = np.abs(table).max(axis=1) / 127
    assert (np.abs(got - expected) <= 0.501 * step[x][..., None]).all()
    assert result.layers[0].stored == "int8, a step per row"


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kind", "options", "operator"),
    [
        ("static", {}, "QLinearConv"),
        ("int8", {"integer_convolutions": True}, "ConvInteger"),
        ("int8", {}, "Conv"),
        ("weights8", {}, "Conv"),
    ],
)
def test_a_convolution_computes_in_integers_where_that_is_asked_for(
    kind, options, operator, groups
):
    expected, got, result = both(convolution(groups=groups), normal(2, 6, 30), kind, **options)
    assert operator in operators(result)
    assert snr_db(expected, got) > 32


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_stored_weights_are_within_half_a_step_of_their_channel(kind):
    data = convolution(kind, groups=2)
    _, _, result = both(data, normal(1, 6, 12))
    proto = onnx.load_model_from_string(result.to_bytes())
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    whole, scale = stored["layer.int8_1"], stored["layer.int8_1.scale"]
    before = onnx.load_model_from_string(data).graph.initializer[0]
    assert whole.dtype == np.int8
    assert scale.size == scale.shape[0 if kind == "Conv" else 1] > 1
    assert (np.abs(whole * scale - onnx.numpy_helper.to_array(before)) <= 0.501 * scale).all()


def test_float16_halves_the_weights_and_keeps_the_operators():
    data = linear("MatMul")
    expected, got, result = both(data, normal(2, 5, 40), "float16")
    assert operators(result) == ["Cast", "MatMul", "Add"]
    assert snr_db(expected, got) > 60


def test_weights_beyond_float16_stay_float32():
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="layer")
    data = layer_file([node], {"w": 1e5 * normal(40, 24)}, TIMES, ("batch", "time", 24))
    expected, got, _ = both(data, normal(2, 5, 40), "float16")
    np.testing.assert_array_equal(got, expected)


def test_products_in_the_body_of_a_scan_are_quantised():
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "r"], ["p"], name="inner"),
            helper.make_node("Add", ["p", "f"], ["s"]),
            helper.make_node("Tanh", ["s"], ["t"]),
            helper.make_node("Identity", ["t"], ["o"]),
        ],
        "body",
        [helper.make_tensor_value_info(n, 1, ["batch", 40]) for n in ("h", "f")],
        [helper.make_tensor_value_info(n, 1, ["batch", 40]) for n in ("t", "o")],
    )
    nodes = [helper.make_node("Scan", ["h0", "x"], ["last", "y"], body=body, num_scan_inputs=1)]
    stored = {"h0": np.zeros((2, 40), np.float32), "r": normal(40, 40) / 6}
    data = layer_file(nodes, stored, ("time", 2, 40), ("time", 2, 40))
    expected, got, result = both(data, normal(9, 2, 40))
    assert "DynamicQuantizeMatMul" in operators(result)
    assert snr_db(expected, got) > 25


@settings(max_examples=20)
@given(count=st.integers(1, 10_000))
def test_a_layer_with_few_weights_stays_in_float(count):
    options = QuantizeOptions(least=count, keep={"other": "asked for"})
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="layer"),
        helper.make_node("MatMul", ["m", "v"], ["y"], name="other"),
    ]
    stored = {"w": np.ones((40, 24), np.float32), "v": np.ones((24, 3), np.float32)}
    layer, other = quantize_model(
        layer_file(nodes, stored, TIMES, ("batch", "time", 3)), options
    ).layers
    assert layer.is_float == (count > 40 * 24)
    assert other.why == "asked for"


class TestErrors:
    def error(self, data, options=None):
        with pytest.raises(QuantizeError) as caught:
            quantize_model(data, options)
        return str(caught.value)

    def test_not_onnx(self):
        assert "it is not an ONNX model" in self.error(b"no model at all, by any means")

    def test_no_contract(self):
        model = onnx.load_model_from_string(linear("MatMul"))
        del model.metadata_props[:]
        text = self.error(model.SerializeToString())
        assert "the file has no contract, so its states are not known" in text
        assert "rnnedge adopt" in text

    def test_quantised_already(self):
        once = quantize_model(recurrent_file("GRU")).to_bytes()
        text = self.error(once)
        assert "the file is quantised already" in text
        assert "quantise the float file that it was made from" in text

    def test_an_old_opset(self):
        model = onnx.load_model_from_string(linear("MatMul"))
        model.opset_import[0].version = 13
        text = self.error(model.SerializeToString())
        assert "the file is of opset 13; 15 or newer is needed" in text
        assert "onnx.version_converter" in text

    def test_nothing_to_quantise(self):
        text = self.error(linear("MatMul"), QuantizeOptions(least=10_000))
        assert "the file has no layer that can be quantised in this way" in text
        assert "layer: it has 960 weights, fewer than 10000" in text

    def test_a_layer_to_keep_that_is_not_there(self):
        text = self.error(linear("MatMul"), QuantizeOptions(keep={"lstm": "asked for"}))
        assert "there is no layer 'lstm'" in text
        assert "it has: layer" in text
