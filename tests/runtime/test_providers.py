"""Execution providers: the one asked for, or an error; never another one in silence."""

from __future__ import annotations

import contextlib
import logging

import numpy as np
import onnxruntime as ort
import pytest

from rnnedge_runtime import ModelFileError, ProviderError, load
from rnnedge_runtime.providers import CPU, CUDA, OPENVINO, check_assignment, device_of


def test_cpu_goes_by_its_short_and_its_full_name(gru):
    for name in ("cpu", "CPUExecutionProvider"):
        assert load(gru.data, provider=name).provider == CPU


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "NoSuchExecutionProvider"])
def test_an_unknown_provider_is_refused_with_what_is_there(gru, name):
    with pytest.raises(ProviderError, match=f"{name!r} is not available here") as caught:
        load(gru.data, provider=name)
    assert CPU in caught.value.what
    assert "'cpu', 'cuda', 'openvino', 'auto'" in caught.value.fix


@pytest.mark.skipif(CUDA in ort.get_available_providers(), reason="CUDA is present")
def test_cuda_that_is_absent_is_refused(gru):
    with pytest.raises(ProviderError, match="'CUDAExecutionProvider' is not available") as caught:
        load(gru.data, provider="cuda")
    assert "onnxruntime-gpu" in caught.value.fix


@pytest.mark.skipif(CUDA in ort.get_available_providers(), reason="CUDA is present")
def test_auto_says_what_it_chose(gru, caplog):
    with caplog.at_level(logging.INFO, logger="rnnedge_runtime"):
        assert load(gru.data, provider="auto").provider == CPU
    assert caplog.messages == ["provider 'auto' chose CPUExecutionProvider"]


@pytest.mark.skipif(
    "AzureExecutionProvider" not in ort.get_available_providers(),
    reason="this onnxruntime has no provider that takes no nodes",
)
def test_a_provider_that_did_not_take_the_recurrent_nodes_is_refused(gru):
    # The Azure provider is built into onnxruntime's CPU package and takes none of our nodes.
    with pytest.raises(
        ProviderError, match="did not take 1 of the 1 nodes that matter: GRU went to"
    ) as caught:
        load(gru.data, provider="AzureExecutionProvider")
    assert caught.value.where == "node 'rnn_0'"
    assert CPU in caught.value.fix


def test_one_recurrent_node_elsewhere_is_one_too_many():
    nodes = [(OPENVINO, "LSTM", "a"), (CPU, "LSTM", "b"), (CPU, "Add", "c")]
    with pytest.raises(ProviderError, match="did not take 1 of the 2 nodes that matter: LSTM"):
        check_assignment(OPENVINO, nodes)


def test_other_nodes_may_run_elsewhere():
    check_assignment(OPENVINO, [(OPENVINO, "LSTM", "a"), (CPU, "Add", "c")])


def test_a_model_without_recurrent_nodes_needs_one_node_on_the_provider():
    check_assignment(OPENVINO, [(OPENVINO, "Conv", "a"), (CPU, "Add", "c")])
    with pytest.raises(ProviderError, match="did not take 2 of the 2 nodes that matter: Conv"):
        check_assignment(OPENVINO, [(CPU, "Conv", ""), (CPU, "Add", "c")])
    check_assignment(OPENVINO, [])


def test_states_live_on_the_providers_device():
    assert device_of(CPU, {}) == ("cpu", 0)
    assert device_of(OPENVINO, {}) == ("cpu", 0)
    assert device_of(CUDA, {}) == ("cuda", 0)
    assert device_of(CUDA, {"device_id": "1"}) == ("cuda", 1)


def test_an_operator_without_a_kernel_is_a_model_error(make):
    contract = make.sum_contract(
        inputs=(make.port("x", "time", "batch", 2, dtype="float64"),),
        outputs=(make.port("y", "time", 1, "batch", 2, dtype="float64"),),
        states=(),
    )
    weights = {
        "W": np.zeros((1, 2, 2), np.float64),
        "R": np.zeros((1, 2, 2), np.float64),
    }
    node = make.node("RNN", ["x", "W", "R"], ["y"], hidden_size=2)
    with pytest.raises(ModelFileError, match="onnxruntime cannot load the model") as caught:
        load(make.file(contract, [node], weights))
    assert "opset and operators" in caught.value.fix


def test_openvino_without_a_device_is_refused(gru):
    """Whether the plugin is absent, or is there and finds no processor that it supports."""
    with contextlib.suppress(ProviderError):
        load(gru.data, provider="openvino")
        pytest.skip("OpenVINO runs on this machine")
    with pytest.raises(ProviderError, match="'OpenVINOExecutionProvider' is not avail") as caught:
        load(gru.data, provider="openvino")
    assert "CPUExecutionProvider" in caught.value.what
    assert "pip install onnxruntime-ep-openvino" in caught.value.fix


def test_openvino_runs_the_recurrent_nodes(gru):
    pytest.importorskip("onnxruntime_ep_openvino", reason="the OpenVINO plugin is not installed")
    try:
        model = load(gru.data, provider="openvino")
    except ProviderError as error:
        pytest.skip(f"OpenVINO finds no device it supports: {error.what}")
    assert model.provider == OPENVINO
    # A plugin that is registered is asked for again in another way.
    assert load(gru.data, provider="openvino").provider == OPENVINO
    x = gru.signal(batch=2, frames=20)
    stream = model.stream(batch=2)
    y = np.concatenate([stream.push(x[:, t : t + 1]) for t in range(20)], axis=1)
    # Reduced precision by default; what matters here is that the state came along.
    np.testing.assert_allclose(y, gru.load().run(x).outputs["y"], atol=0.05)
