"""`rnnedge tune`: nothing slower or less exact comes out, and the file says what was measured."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import rnnedge
from rnnedge.benchmark import Against
from rnnedge.benchmark.timings import joined
from rnnedge.tuning import TuneOptions, tune
from rnnedge.tuning.judge import is_faster
from rnnedge_runtime import InputError


class Net(nn.Module):
    """Two layers over time."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, 48, 2, batch_first=True)
        self.head = nn.Linear(48, 4)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A module and its file."""
    torch.manual_seed(0)
    module, path = Net().eval(), tmp_path_factory.mktemp("net") / "net.onnx"
    assert rnnedge.export(module, path, inputs={"x": "float32[batch, time, 8]"}).kept
    return module, path


def _outputs(path):
    x = np.random.default_rng(0).standard_normal((2, 30, 8), dtype=np.float32)
    return rnnedge.load(path).stream(2).push(x)


def _quick(**options):
    return TuneOptions(**({"seconds": 0.2, "threads": (1,)} | options))


@pytest.mark.slow
def test_where_nothing_else_is_tried_the_file_stays_as_it_is(net, tmp_path):
    _, path = net
    report = tune(path, tmp_path / "tuned.onnx", _quick())
    assert (report.chosen, report.speedup, report.is_changed) == ("as it is", 1.0, False)
    np.testing.assert_array_equal(_outputs(tmp_path / "tuned.onnx"), _outputs(path))
    before, after = (rnnedge.load(p).contract for p in (path, tmp_path / "tuned.onnx"))
    assert after.parity == before.parity
    told = after.source["tuned"]
    assert told["chosen"] == "as it is"
    assert told["tried"][0]["p50_us"] > 0
    assert told["machine"]["packages"]["onnxruntime"]


@pytest.mark.slow
def test_what_comes_out_is_the_same_function_whatever_was_chosen(net, tmp_path):
    module, path = net
    output = tmp_path / "tuned.onnx"
    report = tune(path, output, _quick(), against=Against(module))
    tried = {one.name: one for one in report.tried}
    assert tried["one frame"].left_out == ""
    assert tried["one frame"].worst < 1e-5
    np.testing.assert_allclose(_outputs(output), _outputs(path), rtol=0, atol=1e-6)
    assert rnnedge.load(output).contract.parity["passed"]
    assert rnnedge.verify(output, module).passed


@pytest.mark.slow
def test_int8_has_to_keep_the_budget(net, tmp_path):
    _, path = net
    report = tune(path, tmp_path / "tuned.onnx", _quick(min_snr_db=150))
    left = {one.name: one.left_out for one in report.tried}
    assert "dB, of 150 that are asked for" in left["int8"]
    assert report.chosen == "as it is"
    report = tune(
        path,
        tmp_path / "tuned.onnx",
        _quick(min_snr_db=1),
    )
    assert {one.name: one.left_out for one in report.tried}["int8"] == ""


@pytest.mark.slow
def test_a_file_with_weights_beside_it_is_tuned_too(net, tmp_path):
    _, path = net
    beside = tmp_path / "beside.onnx"
    onnx.save(
        onnx.load(path), beside, save_as_external_data=True, location="w.bin", size_threshold=1024
    )
    report = tune(beside, tmp_path / "tuned.onnx", _quick(min_snr_db=10))
    assert {one.name: one.left_out for one in report.tried}["int8"] == ""
    np.testing.assert_allclose(_outputs(tmp_path / "tuned.onnx"), _outputs(path), atol=0.2)


def test_what_tells_of_a_module_needs_one(net, tmp_path, call):
    _, path = net
    ended = call("tune", path, "-o", tmp_path / "tuned.onnx", "--weights", "w.safetensors")
    assert ended.code == 2
    assert "--weights" in ended.err
    assert "need --against" in ended.err


def _timed(rounds):
    return joined([[value] * 5 for value in rounds])


@pytest.mark.parametrize(
    ("form", "own", "expected"),
    [
        ([90] * 8, [100] * 8, True),
        ([98] * 8, [100] * 8, False),  # by less than what counts
        ([90, 90, 90, 90, 90, 150, 150, 150], [100] * 8, False),  # not in most of the rounds
        ([190, 90] * 4, [200, 100] * 4, True),  # a machine that sways disturbs both alike
        ([100] * 8, [90] * 8, False),
    ],
)
def test_faster_is_what_is_faster_in_the_median_and_in_most_rounds(form, own, expected):
    assert is_faster(_timed(form), _timed(own)) is expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 0}, "chunk is 0"),
        ({"seconds": -1.0}, "seconds is -1.0"),
        ({"min_snr_db": float("nan")}, "min_snr_db is nan"),
        ({"threads": (0,)}, r"threads is \(0,\)"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        TuneOptions(**options)


@pytest.mark.slow
def test_the_command_tells_what_it_tried_and_writes_the_file(net, tmp_path, call):
    _, path = net
    output = tmp_path / "tuned.onnx"
    words = ("tune", path, "-o", output, "--threads", 1, "--seconds", 0.2)
    ended = call(*words, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["chosen"] == "as it is"
    assert output.exists()
    ended = call(*words)
    assert ended.code == 2
    assert "--force" in ended.err
    ended = call(*words, "--force")
    assert ended.code == 0
    assert "nothing is surely faster than the file as it is" in ended.out
