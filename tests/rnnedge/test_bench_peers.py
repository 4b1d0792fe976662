"""Other runtimes beside ours: the same weights, compared first, timed by turns."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import judged_models as judged
import numpy as np
import pytest
import torch
from torch import nn

import rnnedge
from rnnedge.benchmark import Against, BenchOptions
from rnnedge.benchmark.peers import run as peers
from rnnedge.benchmark.peers.onnxruntime import PlainOnnxruntime
from rnnedge.benchmark.peers.protocol import CannotRunError, Prepared
from rnnedge.benchmark.subject import Subject
from rnnedge_exporters import convert

pytestmark = pytest.mark.slow

QUICK = BenchOptions(seconds=0.1, calls=4, sweep=False)


class Explicit(nn.Module):
    """Takes and returns its state, which is of two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.rnn = nn.LSTM(3, 5, 2, batch_first=True)
        self.out = nn.Linear(5, 2)

    def forward(self, x, state=None):
        y, state = self.rnn(x, state)
        return {"y": self.out(y), "state": state}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    path.write_bytes(judged.right())
    return path


@pytest.fixture(scope="module")
def explicit_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("explicit") / "explicit.onnx"
    path.write_bytes(convert(Explicit(), judged.INPUTS).to_bytes())
    return path


@pytest.fixture
def subject(file):
    return Subject(file, rnnedge.load(file), frames=2, batch=3, threads=1, seed=0)


def outcome(report, name):
    (found,) = [peer for peer in report.peers if peer.name == name]
    return found


def test_plain_onnxruntime_is_timed_by_turns_with_ours(file) -> None:
    report = rnnedge.bench(file, QUICK, peers=["onnxruntime"])
    (found,) = report.peers
    assert (found.status, found.timings.calls) == ("timed", report.timings.calls)
    assert found.detail == "plain onnxruntime, within 0.0e+00 of ours"
    assert report.to_dict()["peers"][0]["times_limit"] > 0


def test_what_is_not_installed_is_listed_with_the_way_to_install_it(file, call) -> None:
    ended = call("bench", file, "--seconds", 0.1, "--calls", 3, "--no-sweep", "--peers")
    assert ended.code == 0
    for module, text in {
        "openvino": "not installed: pip install openvino",
        "executorch": "not installed: pip install executorch",
    }.items():
        assert (text in ended.out) == (importlib.util.find_spec(module) is None)
    assert "torch eager" in ended.out
    assert "it needs the module: --against MODEL" in ended.out


@dataclass(frozen=True)
class Altered:
    """Plain onnxruntime, and something done to its outputs."""

    alter: object
    name: str = "altered"
    module: str = "onnxruntime"
    package: str = "onnxruntime"
    install: str = ""

    def prepare(self, subject):
        step = PlainOnnxruntime().prepare(subject).step
        calls = iter(range(1000))
        return Prepared(
            lambda inputs: {n: self.alter(y, next(calls)) for n, y in step(inputs).items()}
        )


@pytest.mark.parametrize(
    ("alter", "status", "detail"),
    [
        (lambda y, call: y, "timed", "within 0.0e+00 of ours"),
        # A state that is lost shows only later in the signal.
        (lambda y, call: y + (call > 9), "computes something else", "of the largest output"),
        (lambda y, call: y * np.nan, "computes something else", "gives NaN"),
        (lambda y, call: y[:, :1], "cannot run it", "its output 'output' is [3,"),
        (lambda y, call: 1 / 0, "cannot run it", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_peer_that_computes_something_else_is_told_and_not_timed(
    subject, alter, status, detail
) -> None:
    (found,), steps = peers.ready_peers(subject, [Altered(alter)], lambda text: None)
    assert found.status == status
    assert detail in found.detail
    assert ("altered" in steps) == (status == "timed")


def test_a_peer_whose_state_is_not_carried_is_found_out(subject) -> None:
    class Forgetful(PlainOnnxruntime):
        def prepare(self, subject):
            def step(inputs):
                return PlainOnnxruntime().prepare(subject).step(inputs)

            return Prepared(step)

    (found,), _ = peers.ready_peers(subject, [Forgetful()], lambda text: None)
    assert found.status == "computes something else"


def test_a_model_of_one_frame_per_run_is_no_peers_in_longer_calls(subject) -> None:
    contract = subject.model.contract
    object.__setattr__(contract, "chunk_most", 1)
    with pytest.raises(CannotRunError, match="a run takes 1 frame at most: give --chunk 1"):
        PlainOnnxruntime().prepare(subject)


@pytest.mark.slow
def test_torch_runs_the_streaming_program_where_forward_has_no_states(file) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        report = rnnedge.bench(file, QUICK, peers=["torch"], against=Against(judged.Net()))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    found = outcome(report, "torch eager")
    assert (found.status, found.timings.calls) == ("timed", 4)
    assert found.detail.startswith("the exporter's streaming program, within ")


def test_torch_runs_forward_itself_where_it_takes_and_returns_the_states(explicit_file) -> None:
    report = rnnedge.bench(explicit_file, QUICK, peers=["torch"], against=Against(Explicit()))
    found = outcome(report, "torch eager")
    assert found.status == "timed"
    assert found.detail.startswith("its own forward, within ")


def test_a_module_with_other_weights_is_not_timed(explicit_file) -> None:
    module = Explicit()
    with torch.no_grad():
        module.rnn.weight_hh_l0 += 0.1
    report = rnnedge.bench(explicit_file, QUICK, peers=["torch"], against=Against(module))
    assert outcome(report, "torch eager").status == "computes something else"


@pytest.mark.long
def test_the_compiled_module_is_timed(file) -> None:
    report = rnnedge.bench(file, QUICK, peers=["torch.compile"], against=Against(judged.Net()))
    assert outcome(report, "torch.compile").status == "timed"


@pytest.mark.parametrize(
    ("name", "title", "module"),
    [
        ("openvino", "OpenVINO", "openvino"),
        ("tract", "tract", "tract"),
        pytest.param("litert", "LiteRT", "litert_torch", marks=pytest.mark.long),
        pytest.param("executorch", "ExecuTorch", "executorch", marks=pytest.mark.long),
    ],
)
def test_the_others_are_timed_where_they_are_installed(file, name, title, module) -> None:
    pytest.importorskip(module)
    report = rnnedge.bench(file, QUICK, peers=[name], against=Against(judged.Net()))
    found = outcome(report, title)
    assert (found.status, found.version is not None) == ("timed", True), found.detail
