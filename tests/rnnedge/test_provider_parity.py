"""The proof on other providers: what they compute in by default is seen, and so is who ran what."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from provider_models import PROVIDERS, opened

import rnnedge
from rnnedge.cli.verify import _warn_of_precision
from rnnedge.parity.report import Check, ParityReport
from rnnedge.testing import assert_parity
from rnnedge_exporters import convert
from rnnedge_exporters.source import load_module
from rnnedge_runtime import ProviderError
from rnnedge_runtime.providers import CPU, OPENVINO, WEBGPU, about, register_installed
from rnnedge_runtime.providers.plugins import devices_of

INPUTS = {"x": "float32[batch, time, 16]"}
MODEL = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(16, 64, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]

class Projected(Net):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.LSTM(16, 12, proj_size=5, batch_first=True)
"""
FULL = about(OPENVINO).full_precision


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The network's source, ``model.py``, and its export, ``net.onnx``."""
    path = tmp_path_factory.mktemp("provider")
    (path / "model.py").write_text(MODEL)
    (path / "net.onnx").write_bytes(exported(net(path)))
    return path


def net(folder, name="Net"):
    return load_module(f"{folder / 'model.py'}:{name}", {}).eval()


def exported(module, **options):
    logging.getLogger("torch.__trace").disabled = True
    return convert(module, INPUTS, **options).to_bytes()


@pytest.fixture(scope="module")
def openvino():
    """What its device can compute in: ``{"FP32", "BF16"}``."""
    register_installed()
    devices = devices_of(OPENVINO)
    if not devices:
        pytest.skip("OpenVINO is not installed, or finds no device it supports: no Intel processor")
    return set(dict(devices[0].ep_metadata).get("OPTIMIZATION_CAPABILITIES", "").split())


@pytest.fixture
def reduced(openvino):
    if not openvino & {"BF16", "FP16"}:
        pytest.skip(f"OpenVINO computes in float32 here by default; it has {sorted(openvino)}")


@pytest.mark.usefixtures("reduced")
def test_openvino_fails_the_proof_at_its_default_precision(folder):
    report = rnnedge.verify(folder / "net.onnx", net(folder), provider="openvino")
    assert not report.passed
    assert report.missing_precision == FULL
    assert max(tensor.max_abs for tensor in report.tensors) > 1e-4


@pytest.mark.usefixtures("openvino")
def test_openvino_passes_the_proof_in_full_precision(folder):
    report = rnnedge.verify(
        folder / "net.onnx", net(folder), provider="openvino", provider_options=FULL
    )
    assert report.passed
    assert report.provider_options == FULL
    assert report.assignment[OPENVINO]["GRU"] == 1


@pytest.mark.usefixtures("reduced")
def test_the_command_says_which_option_asks_for_float32(call, folder, monkeypatch):
    monkeypatch.chdir(folder)
    words = ("verify", "net.onnx", "--against", "model.py:Net", "--provider", "openvino")
    failed = call(*words)
    assert failed.code == 1
    assert "--provider-option 'load_config=" in failed.err
    options = [w for key, value in FULL.items() for w in ("--provider-option", f"{key}={value}")]
    assert call(*words, *options).code == 0


@pytest.fixture(scope="module")
def older(folder):
    """An export of the opset whose recurrent operators the providers of GPUs know."""
    return exported(net(folder), opset=21)


@pytest.mark.slow
@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name != "cpu"])
def test_the_proof_passes_in_full_precision_on_every_provider(folder, older, provider):
    model = opened(older, provider, needs="GRU")
    options = about(model.provider).full_precision
    report = rnnedge.verify(older, net(folder), provider=provider, provider_options=options)
    assert report.passed
    assert report.assignment[model.provider]["GRU"] == 1


@pytest.mark.parametrize("provider", ["cuda", "webgpu"])
def test_a_gru_of_an_opset_that_a_gpu_does_not_know_is_refused_with_the_one_it_knows(
    folder, older, provider
):
    opened(older, provider)
    with pytest.raises(ProviderError, match="GRU went to CPUExecutionProvider") as caught:
        rnnedge.load(folder / "net.onnx", provider=provider)
    assert "--opset 21" in caught.value.fix


def test_what_is_a_scan_otherwise_runs_on_webgpu_one_frame_at_a_time(folder, older):
    opened(older, "webgpu")
    module = net(folder, "Projected")
    data = exported(module, one_frame=True)
    report = rnnedge.verify(data, module, provider="webgpu")
    assert report.passed
    assert list(report.assignment) == [WEBGPU]
    with pytest.raises(ProviderError, match="Scan went to CPUExecutionProvider") as caught:
        rnnedge.load(exported(module), provider="webgpu")
    assert "--one-frame" in caught.value.fix


def failed_on(provider, **fields):
    return ParityReport(
        checks=(Check("whole sequence", passed=False, detail="error 8e-3"),),
        tensors=(),
        provider=provider,
        allowed_ratio=4,
        settings={"batches": [1], "frames": 9, "seed": 0},
        **fields,
    )


def test_a_proof_that_failed_in_less_than_float32_says_how_to_get_float32(capsys):
    report = failed_on(OPENVINO)
    assert f"float32: provider_options={FULL}" in str(report)
    _warn_of_precision(report)
    said = " ".join(capsys.readouterr().err.split())
    assert f"{OPENVINO} computes in bfloat16 or float16 where the device has it" in said
    assert """--provider-option 'load_config={"CPU":{"INFERENCE_PRECISION_HINT":"f32"}}'""" in said


def test_a_proof_that_failed_in_float32_blames_no_precision(capsys):
    for report in (failed_on(CPU), failed_on(OPENVINO, provider_options=FULL)):
        assert "float32" not in str(report)
        _warn_of_precision(report)
    assert capsys.readouterr().err == ""


def test_the_report_says_what_ran_elsewhere():
    assignment = {OPENVINO: {"GRU": 1}, CPU: {"Shape": 2, "Gather": 1}}
    report = failed_on(OPENVINO, assignment=assignment)
    assert report.circumstances[1] == (
        "some nodes ran elsewhere: Shape, Gather on CPUExecutionProvider"
    )
    assert report.to_dict()["assignment"] == assignment
    assert len(failed_on(OPENVINO, assignment={OPENVINO: {"GRU": 1}}).circumstances) == 1


def test_verify_says_as_json_who_ran_what(call, folder, monkeypatch):
    monkeypatch.chdir(folder)
    ended = call("verify", "net.onnx", "--against", "model.py:Net", "--json")
    assert ended.code == 0
    told = json.loads(ended.out)
    assert told["assignment"][CPU]["GRU"] == 1
    assert list(told["assignment"]) == [CPU]
    assert told["provider_options"] == {}


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "net.onnx", "--against", "model.py:Net"),
        ("verify", "net.onnx", "--golden", "net.npz"),
        ("run", "net.onnx", "frames.npy"),
        ("generate", "net.onnx"),
        ("bench", "net.onnx"),
    ],
    ids=" ".join,
)
def test_every_command_with_a_provider_hands_its_options_and_library_on(
    call, folder, monkeypatch, command
):
    monkeypatch.chdir(folder)
    np.save("frames.npy", np.zeros((1, 2, 16), np.float32))
    if "net.npz" in command and not (folder / "net.npz").exists():
        rnnedge.verify("net.onnx", net(folder), save_golden="net.npz")
    ended = call(*command, "--provider", "cuda", "--provider-option", "enable_cuda_graph=1")
    assert ended.code == 2
    assert "a captured graph reads and writes the same memory" in ended.err
    ended = call(*command, "--provider", "openvino", "--provider-library", "libnone.so")
    assert ended.code == 2
    assert "there is no such plugin library" in ended.err
    ended = call(*command, "--provider-option", "enable_cuda_graph")
    assert ended.code == 2
    assert "'enable_cuda_graph' is not KEY=VALUE" in ended.err


@pytest.mark.slow
def test_assert_parity_hands_each_provider_its_options(folder):
    options = {"cuda": {"enable_cuda_graph": "1"}}
    with pytest.raises(rnnedge.RnnEdgeError, match="a captured graph"):
        assert_parity(net(folder), inputs=INPUTS, providers=["cuda"], provider_options=options)
    with pytest.raises(rnnedge.RnnEdgeError, match="options are given for cuda, which is not"):
        assert_parity(net(folder), inputs=INPUTS, provider_options=options)
