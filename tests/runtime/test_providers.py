"""Execution providers: the one asked for, or an error; never another one in silence."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

from rnnedge_runtime import InputError, ModelFileError, ProviderError, load
from rnnedge_runtime.providers import (
    CPU,
    CUDA,
    KNOWN,
    OPENVINO,
    WEBGPU,
    Placed,
    about,
    check_assignment,
    count_nodes,
    missing_precision,
)
from rnnedge_runtime.providers.assignment import prove
from rnnedge_runtime.providers.plugins import devices_of, pick_device, register_library
from rnnedge_runtime.states import check_integers


def test_cpu_goes_by_its_short_and_its_full_name(gru):
    for name in ("cpu", "CPUExecutionProvider"):
        assert load(gru.data, provider=name).provider == CPU


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "NoSuchExecutionProvider"])
def test_an_unknown_provider_is_refused_with_what_is_there(gru, name):
    with pytest.raises(ProviderError, match=f"{name!r} is not available here") as caught:
        load(gru.data, provider=name)
    assert CPU in caught.value.what
    assert "'cpu', 'cuda'" in caught.value.fix
    assert "'auto', the path of a plugin library, or one of the available" in caught.value.fix


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


def test_auto_takes_no_options_as_they_belong_to_one_provider(gru):
    with pytest.raises(InputError, match="options and a library belong to one provider") as caught:
        load(gru.data, provider="auto", provider_options={"device_id": "1"})
    assert caught.value.fix == "name the provider"


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
    check_assignment(OPENVINO, [(OPENVINO, "LSTM", "a"), (CPU, "MatMul", "c")])


def test_without_recurrent_nodes_every_product_and_convolution_matters():
    check_assignment(OPENVINO, [(OPENVINO, "Conv", "a"), (CPU, "Add", "c")])
    with pytest.raises(ProviderError, match="did not take 1 of the 2 nodes that matter: MatMul"):
        check_assignment(OPENVINO, [(OPENVINO, "Conv", "a"), (CPU, "MatMul", "b")])


def test_without_any_of_these_one_node_is_enough():
    check_assignment(OPENVINO, [(OPENVINO, "Mul", "a"), (CPU, "Add", "c")])
    with pytest.raises(ProviderError, match="did not take 2 of the 2 nodes that matter: Mul"):
        check_assignment(OPENVINO, [(CPU, "Mul", ""), (CPU, "Add", "c")])
    check_assignment(OPENVINO, [])


def test_what_is_refused_is_told_with_the_form_that_the_provider_takes():
    with pytest.raises(ProviderError) as caught:
        check_assignment(CUDA, [(CPU, "GRU", "a")])
    assert "export with --opset 21, the last of which CUDAExecutionProvider knows" in (
        caught.value.fix
    )
    with pytest.raises(ProviderError) as caught:
        check_assignment(WEBGPU, [(CPU, "Scan", "a")])
    assert "export with --one-frame, which writes the step itself" in caught.value.fix
    with pytest.raises(ProviderError) as caught:
        check_assignment(WEBGPU, [(CPU, "RNN", "a")])  # of which it has no kernel at all
    assert "export a form that WebGpuExecutionProvider supports" in caught.value.fix


def test_the_whole_record_of_who_runs_what_is_kept(gru):
    nodes = load(gru.data).assignment
    assert {node.provider for node in nodes} == {CPU}
    assert (CPU, "GRU", "rnn_0") in nodes
    assert count_nodes(nodes)[CPU]["GRU"] == 1
    mixed = [Placed(CPU, "Add", ""), Placed(CPU, "Add", "b"), Placed(OPENVINO, "Mul", "")]
    assert count_nodes(mixed) == {CPU: {"Add": 2}, OPENVINO: {"Mul": 1}}


def test_every_provider_is_called_in_one_way():
    assert len({known.short for known in KNOWN}) == len({known.name for known in KNOWN})
    assert len({known.name for known in KNOWN}) == len(KNOWN) == 10


def test_the_page_of_providers_has_each_of_them_with_its_package_and_options():
    page = (Path(__file__).parents[2] / "docs" / "providers.md").read_text("utf-8")
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    assert sorted(rows) == sorted(known.short for known in KNOWN)
    for known in KNOWN:
        options = {k: v for k, v in known.full_precision.items() if known.defaults.get(k) != v}
        told = [f"{key}={value}" for key, value in options.items()]
        told += [known.plugin.replace("_", "-")]
        assert [text for text in told if text not in rows[known.short]] == []


@pytest.mark.parametrize(
    ("session", "said", "fix"),
    [
        (["CPUExecutionProvider"], "opened the model without OpenVINO", "onnxruntime-ep-openvino"),
        ([OPENVINO], "does not record which provider runs which node", "onnxruntime 1.24 or later"),
    ],
    ids=["another provider", "no record"],
)
def test_without_proof_there_is_no_session(session, said, fix):
    """The second is a session of onnxruntime 1.23."""
    with pytest.raises(ProviderError, match=said) as caught:
        prove(SimpleNamespace(get_providers=lambda: session), OPENVINO)
    assert fix in caught.value.fix


def test_options_that_ask_for_float32_are_missing_until_they_are_given():
    full = about(OPENVINO).full_precision
    assert missing_precision(OPENVINO, {}) == full
    assert missing_precision(OPENVINO, {"load_config": "{}"}) == full
    assert missing_precision(OPENVINO, full) == {}
    assert missing_precision(CPU, {}) == {}
    assert missing_precision(CUDA, about(CUDA).defaults) == {}
    assert missing_precision(CUDA, {"use_tf32": "1"}) == {"use_tf32": "0"}


@pytest.mark.parametrize("known", [k for k in KNOWN if k.capture], ids=lambda known: known.short)
def test_a_captured_graph_is_refused(gru, known):
    """Before anything else, so that it is told on machines without the provider, too."""
    assert known.defaults[known.capture] == "0"
    with pytest.raises(InputError, match="a captured graph reads and writes the same") as caught:
        load(gru.data, provider=known.short, provider_options={known.capture: "1"})
    assert known.capture in caught.value.where


def test_a_plugin_library_that_is_not_there_is_refused(gru, tmp_path):
    path = str(tmp_path / "libnone.so")
    for given in ({"provider": path}, {"provider": "openvino", "provider_library": path}):
        with pytest.raises(ProviderError, match="there is no such plugin library") as caught:
            load(gru.data, **given)
        assert caught.value.where == path


def test_a_file_that_is_no_plugin_library_is_refused(gru, tmp_path):
    path = tmp_path / "libtext.so"
    path.write_text("no library")
    with pytest.raises(ProviderError, match="the plugin library cannot be loaded") as caught:
        load(gru.data, provider=str(path))
    assert caught.value.where == str(path)
    assert "fits this onnxruntime" in caught.value.fix


def test_a_library_without_the_provider_asked_for_is_refused(gru):
    library = pytest.importorskip("onnxruntime_ep_openvino").get_library_path()
    with pytest.raises(ProviderError, match="does not offer 'CPUExecutionProvider'") as caught:
        load(gru.data, provider="cpu", provider_library=library)
    offered = register_library(library)
    assert (", ".join(offered) or "finds no device that it supports") in caught.value.what
    if not offered:
        assert "use a machine with a device that it supports" in caught.value.fix


def test_a_virtual_device_is_none_to_run_on():
    """It compiles for hardware that is elsewhere. In a process of its own: it stays registered."""
    pytest.importorskip("onnxruntime_ep_openvino")
    probe = (
        "import onnxruntime as ort, onnxruntime_ep_openvino as plugin\n"
        "from rnnedge_runtime.providers.plugins import devices_of\n"
        "ort.register_execution_provider_library('ov.virtual', plugin.get_library_path())\n"
        "virtual = lambda devices: sum('is_virtual' in dict(d.device.metadata) for d in devices)\n"
        "print(virtual(ort.get_ep_devices()) > 0, virtual(devices_of(None)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["True", "0"]


def test_a_device_is_picked_by_its_type():
    devices = list(ort.get_ep_devices())[:1]
    assert pick_device(devices, {"a": "b"}) == (devices[0], {"a": "b"})
    assert pick_device(devices, {"device_type": "cpu", "a": "b"}) == (devices[0], {"a": "b"})
    with pytest.raises(ProviderError, match="has no device of type 'NPU' here; it has: CPU"):
        pick_device(devices, {"device_type": "NPU"})


def test_a_fault_of_the_provider_is_not_the_models(gru):
    if devices_of(OPENVINO) == []:
        pytest.importorskip("onnxruntime_ep_openvino")
        pytest.skip("OpenVINO finds no device it supports")
    options = {"load_config": "this is no JSON"}
    with pytest.raises(ProviderError, match="failed while it was set up") as caught:
        load(gru.data, provider="openvino", provider_options=options)
    assert "provider_options" in caught.value.fix


def test_a_provider_that_would_cut_off_a_states_integers_is_refused(make):
    """OpenVINO: 2**48, which stands for an end that is not known yet, is 0 in 32 bits."""
    length = make.state("signal.length", "batch", dtype="int64", kind="length", fill=2.0**48)
    small = make.state("n", "batch", dtype="int64", kind="position")
    check_integers([small], OPENVINO)
    check_integers([small, length], WEBGPU)
    with pytest.raises(ProviderError, match="initial value 281474976710656") as caught:
        check_integers([small, length], OPENVINO)
    assert caught.value.where == "state 'signal.length', of kind 'length'"
    assert "looks at no later frames" in caught.value.fix


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
