"""A golden file asks a device what the module would have asked, and by the same yardstick."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import judged_models as judged
import numpy as np
import pytest
import torch
from aligned_models import ALL

import rnnedge
from rnnedge.parity.golden import read_golden, write_golden
from rnnedge.parity.measure import Reference, Truth

ALIGNED = {aligned.name: aligned for aligned in ALL}


@pytest.fixture(scope="session")
def net(tmp_path_factory) -> Path:
    """The folder of ``net.onnx`` and ``net.npz``."""
    folder = tmp_path_factory.mktemp("golden")
    (folder / "net.onnx").write_bytes(judged.right())
    report = rnnedge.verify(
        folder / "net.onnx", judged.Net(), chunks=[5], save_golden=folder / "net.npz"
    )
    assert report.passed
    return folder


def file_and_module(name):
    if name == "sequence":
        return judged.whole(), judged.Net()
    if name == "lstm":
        return judged.right(), judged.Net()
    return ALIGNED[name].file(), ALIGNED[name].module


@pytest.mark.parametrize("name", [*ALIGNED, "lstm", "sequence"])
@pytest.mark.slow
def test_on_the_host_itself_both_find_the_very_same_errors(name, tmp_path):
    data, module = file_and_module(name)
    theirs = rnnedge.verify(data, module, save_golden=tmp_path / "g.npz", seed=3)
    ours = rnnedge.verify_golden(data, tmp_path / "g.npz")
    assert ours.passed, str(ours)
    assert [asked(tensor) for tensor in ours.tensors] == [asked(t) for t in theirs.tensors]
    details = {check.name: check.detail.partition("; by quarter")[0] for check in theirs.checks}
    of_module = {name for name in details if name.startswith("state ")}
    found = {check.name: check.detail for check in ours.checks}
    assert found.keys() == (details.keys() - of_module) | {"all compared"}
    same = found.keys() - {"all compared"}
    assert {name: found[name] for name in same} == {name: details[name] for name in same}
    assert ours.settings["seed"] == 3


def asked(tensor):
    return tensor.name, tensor.max_abs, tensor.torch_max_abs, tensor.allowed_abs, tensor.worst


@pytest.mark.slow
def test_what_is_expected_is_the_module_in_float64(net):
    module = copy.deepcopy(judged.Net()).double()
    cases = read_golden(net / "net.npz").cases
    assert {case.check for case in cases} == {
        "whole sequence", "one frame at a time", "random chunks", "random initial states",
        "pushes of 5 frames", "one row reset", "long run",
    }  # fmt: skip
    for case in cases:
        assert case.inputs["x"].dtype == np.float32
        x = torch.from_numpy(case.inputs["x"]).double()
        zeros = torch.zeros(1, case.batch, 6, dtype=torch.double)
        start = [torch.from_numpy(case.start[n]).double() for n in case.start] or [zeros, zeros]
        with torch.no_grad():
            steps, (h, c) = module.rnn(x, tuple(start))
            y = module.out(steps)
        np.testing.assert_array_equal(case.truth.outputs["output"].exact, y)
        if not case.restart:
            np.testing.assert_array_equal(case.truth.states["rnn.h"].exact, h)
            np.testing.assert_array_equal(case.truth.states["rnn.c"].exact, c)
        else:
            with torch.no_grad():
                y = module(x[:, case.restart.frames :])
            np.testing.assert_array_equal(case.restart.truth.outputs["output"].exact, y)


@pytest.mark.slow
def test_a_device_that_computes_otherwise_fails_and_is_told_where(net, tmp_path):
    golden = read_golden(net / "net.npz")
    index = next(
        i for i, c in enumerate(golden.cases) if c.check == "random chunks" and c.batch == 5
    )
    off = moved(golden.cases[index].truth, (3, 12, 1))
    changed(golden, index, tmp_path / "g.npz", truth=off)
    report = rnnedge.verify_golden(net / "net.onnx", tmp_path / "g.npz")
    (check,) = [check for check in report.checks if not check.passed]
    assert check.name == "random chunks"
    (place,) = check.beyond
    assert place.tensor == "output"
    assert place.batch_size == 5
    assert place.first == place.largest == {"batch": 3, "time": 12, "axis 2": 1}
    assert place.error == pytest.approx(1e-4, rel=0.01)


def test_of_a_row_that_was_reset_frames_count_from_its_own_start(net, tmp_path):
    golden = read_golden(net / "net.npz")
    index = next(i for i, case in enumerate(golden.cases) if case.restart)
    restart = golden.cases[index].restart
    off = replace(restart, truth=moved(restart.truth, (1, 7, 0)))
    changed(golden, index, tmp_path / "new.npz", restart=off)
    old = moved(golden.cases[index].truth, (2, restart.frames + 7, 0))
    changed(golden, index, tmp_path / "old.npz", truth=old)
    for name, row, frame in (("new", 1, 7), ("old", 2, restart.frames + 7)):
        report = rnnedge.verify_golden(net / "net.onnx", tmp_path / f"{name}.npz")
        (check,) = [check for check in report.checks if not check.passed]
        assert (check.name, check.beyond[0].first) == (
            "one row reset",
            {"batch": row, "time": frame, "axis 2": 0},
        )


def moved(truth, place):
    exact = truth.outputs["output"].exact.copy()
    exact[place] += 1e-4
    return Truth({"output": Reference(exact, exact)}, truth.states)


def changed(golden, index, path, **fields):
    cases = list(golden.cases)
    cases[index] = replace(cases[index], **fields)
    write_golden(path, replace(golden, cases=tuple(cases)))


def test_the_yardstick_of_the_device_is_its_own_whatever_the_hosts_was(tmp_path):
    module = judged.other_weights()
    wide = rnnedge.verify(judged.right(), module, allowed_ratio=1e4, save_golden=tmp_path / "g.npz")
    assert wide.passed
    usual = rnnedge.verify_golden(judged.right(), tmp_path / "g.npz")
    assert (usual.passed, usual.allowed_ratio) == (False, 4.0)
    told = rnnedge.verify_golden(judged.right(), tmp_path / "g.npz", allowed_ratio=1e4)
    assert told.passed
    assert "allowed are 10000 times" in str(told)


def test_nothing_is_written_if_the_proof_fails(tmp_path):
    path = tmp_path / "g.npz"
    assert not rnnedge.verify(judged.right(), judged.other_weights(), save_golden=path).passed
    assert list(tmp_path.iterdir()) == []


def test_a_golden_file_that_leaves_an_output_out_proves_nothing(net, tmp_path):
    golden = read_golden(net / "net.npz")
    cases = tuple(
        replace(case, truth=Truth({}, case.truth.states))
        for case in golden.cases
        if not case.restart
    )
    write_golden(tmp_path / "g.npz", replace(golden, cases=cases))
    report = rnnedge.verify_golden(net / "net.onnx", tmp_path / "g.npz")
    assert [check.name for check in report.checks if not check.passed] == ["all compared"]
    assert "never compared: output" in str(report)


@pytest.mark.slow
def test_signals_of_many_frames_are_kept_once(tmp_path):
    """From 5,000 frames on, all checks of a batch are made on one signal."""
    short = ALIGNED["stride"]
    context = replace(short.contract.states[0], delay=6_000)
    data = replace(short, contract=replace(short.contract, states=(context,))).file()
    assert rnnedge.verify(data, short.module, save_golden=tmp_path / "g.npz").passed
    golden = read_golden(tmp_path / "g.npz")
    elements = sum(case.inputs["x"].size for case in golden.cases)
    with np.load(tmp_path / "g.npz") as kept:
        written = sum(kept[n].size for n in kept.files if kept[n].dtype == np.float32)
    assert written < 0.7 * elements
    assert rnnedge.verify_golden(data, tmp_path / "g.npz").passed


@pytest.mark.slow
def test_the_command_writes_a_golden_file_and_asks_it(call, net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("source.py").write_text("from judged_models import Net, other_weights\n")
    words = ("verify", net / "net.onnx")
    saved = call(*words, "--against", "source.py:Net", "--save-golden", "g.npz", "--chunk", 9)
    assert saved.code == 0, saved.err
    assert "pushes of 9 frames" in saved.out
    assert f"wrote g.npz, {Path('g.npz').stat().st_size / 1000:.1f} kB" in saved.out
    assert saved.err.splitlines()[-1] == f"next: rnnedge verify {net / 'net.onnx'} --golden g.npz"
    passed = call(*words, "--golden", "g.npz")
    assert passed.code == 0
    assert passed.out.startswith("parity: the same function")
    assert "against g.npz, made with rnnedge " in passed.out
    data = json.loads(call(*words, "--golden", "g.npz", "--json").out)
    assert (data["passed"], data["allowed_ratio"]) == (True, 4.0)
    assert data["settings"]["golden"]["versions"]["torch"] == torch.__version__
    failed = call(*words, "--golden", "g.npz", "--allowed-ratio", 1e-6, "--json")
    assert failed.code == 1
    assert json.loads(failed.out)["passed"] is False
    assert json.loads(failed.out)["checks"][0]["beyond"][0]["tensor"] in (
        "output",
        "rnn.h",
        "rnn.c",
    )
    refused = call(*words, "--against", "source.py:Net", "--save-golden", "g.npz")
    assert refused.code == 2
    assert "exists already" in refused.err
    before = Path("g.npz").read_bytes()
    wrong = ("--against", "source.py:other_weights", "--save-golden", "g.npz", "--force")
    ended = call(*words, *wrong)
    assert ended.code == 1
    assert "g.npz was not written" in ended.err
    assert Path("g.npz").read_bytes() == before
    again = call(*words, "--against", "source.py:Net", *wrong[2:], "--json")
    assert json.loads(again.out)["saved_golden"]["path"] == "g.npz"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--against", "m.py:f", "--golden", "g.npz"],
        ["--golden", "g.npz", "--seed", "0"],
        ["--golden", "g.npz", "--chunk", "3"],
        ["--golden", "g.npz", "--explain"],
        ["--golden", "g.npz", "--save-golden", "h.npz"],
        ["--against", "m.py:f", "--save-golden", "-"],
        ["--against", "m.py:f", "--chunk", "0"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(call, words):
    ended = call("verify", "net.onnx", *words)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: rnnedge verify" in ended.err
