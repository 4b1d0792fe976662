"""What lift refuses, by the node's name and with the reason; and the command around it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

import rnnedge
from rnnedge.adoption import AdoptionError, LiftOptions, lift
from rnnedge.adoption.lifting.symbols import B, T, parse_size
from rnnedge.adoption.options import parse_axes


def exported(path: Path, module: nn.Module, *inputs: Tensor, **free: dict[int, str]) -> Path:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), inputs, path, dynamo=False, input_names=list(free), dynamic_axes=free
        )
    return path


def refused(path: Path, *axes: str) -> AdoptionError:
    with pytest.raises(AdoptionError) as caught:
        lift(path, LiftOptions(axes=parse_axes(axes)))
    assert caught.value.where
    assert caught.value.fix
    return caught.value


class After(nn.Module):
    """A recurrent layer over time, and something after it."""

    def __init__(self, after: Callable[[Tensor], Tensor], *, both: bool = False) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 4, batch_first=True, bidirectional=both)
        self.after = after

    def forward(self, x):
        return self.after(self.gru(x)[0])


class Conv(nn.Module):
    def __init__(self, before: Callable[[Tensor], Tensor] = lambda x: x, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, **options)
        self.before = before

    def forward(self, x):
        return self.conv(self.before(x))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (lambda y: y - y.mean(1, keepdim=True), "ReduceMean '/ReduceMean'"),
        (lambda y: y.cumsum(1), "CumSum '/CumSum'"),
        (lambda y: y.softmax(1), "it weighs all of them against each other"),
        (lambda y: (y @ y.transpose(1, 2)).softmax(-1) @ y, "MatMul '/MatMul'"),
        (lambda y: y.flip(1), "it takes every so many of them, or turns them round"),
        (lambda y: y[:, ::2], "it takes every so many of them"),
        (lambda y: y[:, 1:], "it cuts off frames of the signal"),
        (lambda y: y[:, :-1], "it cuts off frames of the signal"),
        (lambda y: y[:, 3], "it picks some of them by number"),
        (lambda y: y / y.shape[1], "it computes with the number of frames"),
        (lambda y: y[:, -1] / y.shape[1], "it computes with the number of frames"),
        (lambda y: y + torch.arange(y.shape[1])[None, :, None], "Range '/Range'"),
        (lambda y: y + y[:, -1:], "it uses what is known after the last frame only"),
        (lambda y: y[:, :-1] + y[:, 1:], "it cuts off frames of the signal"),
        (lambda y: functional.pad(y, (0, 0, 1, 0)), "has frames from before the signal"),
        (lambda y: functional.pad(y, (0, 0, 0, 1)), "has frames from before the signal or after"),
        (lambda y: torch.cat([y, y], 1), "it joins others on before or after them"),
        (lambda y: y.repeat(1, 2, 1), "it repeats them"),
        (lambda y: y.max(1)[0], "it takes all of them together"),
        (lambda y: torch.einsum("bti,ij->btj", y, torch.eye(4)), "has no rule for frames"),
    ],
)
def test_what_needs_other_frames_is_refused_by_name(tmp_path, after, said) -> None:
    path = exported(
        tmp_path / "a.onnx", After(after), torch.randn(2, 7, 4), x={0: "batch", 1: "time"}
    )
    assert said in refused(path).what


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (lambda y: y - y.mean(0, keepdim=True), "it takes all of them together"),
        (lambda y: y + y[:1], "it picks some of them by number"),
        (lambda y: y / y.shape[0], "it computes with the number of rows"),
    ],
)
def test_what_needs_other_rows_is_refused_by_name(tmp_path, after, said) -> None:
    path = exported(
        tmp_path / "a.onnx", After(after), torch.randn(2, 7, 4), x={0: "batch", 1: "time"}
    )
    error = refused(path)
    assert "does not keep the rows of the batch apart" in error.what
    assert said in error.what


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Conv(padding=1), "its window of 3 frames looks ahead"),
        (Conv(), "its past is not padded: 0 frames before the signal, 2 needed"),
        (Conv(lambda x: functional.pad(x, (2, 0)), stride=2), "its rate changes"),
        (Conv(lambda x: functional.pad(x, (2, 0), "reflect")), "it pads time by reflect"),
        (Conv(lambda x: functional.pad(functional.pad(x, (1, 0)), (1, 0))), "padded already"),
        (Conv(lambda x: functional.max_pool1d(x, 3, 1, 1)), "it takes 3 frames together"),
        (Conv(lambda x: functional.pad(functional.instance_norm(x), (2, 0))), "normalises over"),
    ],
)
def test_windows_that_are_not_causal_are_refused(tmp_path, module, said) -> None:
    path = exported(tmp_path / "c.onnx", module, torch.randn(2, 4, 9), x={0: "batch", 2: "time"})
    assert said in refused(path).what


def test_both_directions_over_time_are_refused_with_the_node(tmp_path) -> None:
    module = After(lambda y: y, both=True)
    path = exported(tmp_path / "b.onnx", module, torch.randn(2, 7, 4), x={0: "batch", 1: "time"})
    error = refused(path)
    assert "GRU '/gru/GRU'" in error.what
    assert "bidirectional: it needs the end of the signal first" in error.what
    assert "node '/gru/GRU'" in error.where


def test_a_state_that_is_an_input_already_is_one_for_adopt(tmp_path) -> None:
    path = exported(
        tmp_path / "h.onnx", nn.GRU(4, 3, batch_first=True), torch.randn(2, 7, 4),
        torch.zeros(1, 2, 3), x={0: "batch", 1: "time"}, h={1: "batch"},
    )  # fmt: skip
    error = refused(path)
    assert "its initial state comes from input 'h'" in error.what
    assert "`rnnedge adopt --state h=OUTPUT`" in error.fix


def test_a_file_with_nothing_to_keep_is_told_so(tmp_path) -> None:
    path = exported(
        tmp_path / "l.onnx", nn.Linear(4, 3), torch.randn(2, 7, 4), x={0: "batch", 1: "time"}
    )
    assert "there is nothing to keep" in refused(path).what


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ("x: batch, time", "2 axes are named, the graph has 3"),
        ("x: batch, time, 5", "axis 2 of 'x' is 4 in the graph, and 5 in --axes"),
        ("x: batch, 2*time, 4", "lift follows single frames and rows only"),
        ("x: batch, 7, 4", "no input has a time axis"),
        ("z: batch, time, 4", "'z' is none of the inputs"),
    ],
)
def test_axes_that_do_not_fit_are_refused(tmp_path, axes, said) -> None:
    path = exported(
        tmp_path / "f.onnx", After(lambda y: y), torch.randn(2, 7, 4), x={0: "batch", 1: "time"}
    )
    assert said in refused(path, axes).what


def test_sizes_that_the_export_froze_are_named(tmp_path) -> None:
    module = After(lambda y: y.reshape(2, 7, 4))
    path = exported(tmp_path / "f.onnx", module, torch.randn(2, 7, 4), x={1: "time"})
    error = refused(path, "x: 2, time, 4")
    assert "Reshape '/Reshape'" in error.what
    assert "to [2, 7, 4]" in error.what
    assert "sizes fixed at export" in error.fix


def small(path: Path, nodes: list[onnx.NodeProto], stored: dict[str, Any], **said: Any) -> Path:
    """``x [time, batch, 2] -> y``."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * said.get("rank", 4))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


WEIGHTS = {"W": np.ones((1, 3, 2), np.float32), "R": np.ones((1, 3, 3), np.float32) / 4}


@pytest.mark.parametrize(
    ("inputs", "attributes", "stored", "said"),
    [
        (["x", "W", "R"], {"direction": "reverse"}, {}, "its direction over time is reverse"),
        (["x", "W", "R"], {"layout": 1}, {}, "layout 1"),
        (["x", "W", "R", "", "n"], {}, {"n": np.array([3], np.int32)}, "lengths of their own"),
    ],
)
def test_recurrences_that_cannot_be_carried_are_refused(
    tmp_path, inputs, attributes, stored, said
) -> None:
    node = helper.make_node("RNN", inputs, ["y"], "rnn", hidden_size=3, **attributes)
    path = small(tmp_path / "r.onnx", [node], WEIGHTS | stored)
    assert said in refused(path).what


def test_a_recurrence_from_row_to_row_is_refused(tmp_path) -> None:
    nodes = [
        helper.make_node("RNN", ["x", "W", "R"], ["r"], "over_time", hidden_size=3),
        helper.make_node("Squeeze", ["r", "one"], ["steps"]),
        helper.make_node("Transpose", ["steps"], ["rows"], perm=[1, 0, 2]),
        helper.make_node("RNN", ["rows", "W3", "R"], ["y"], "over_rows", hidden_size=3),
    ]
    stored = WEIGHTS | {"one": np.array([1]), "W3": np.ones((1, 3, 3), np.float32)}
    error = refused(small(tmp_path / "r.onnx", nodes, stored))
    assert "RNN 'over_rows' does not keep the rows of the batch apart" in error.what
    assert "it runs from row to row" in error.what


def test_random_dropout_and_graphs_inside_are_refused(tmp_path) -> None:
    stored = WEIGHTS | {"ratio": np.float32(0.5), "yes": np.array(True)}
    rnn = helper.make_node("RNN", ["x", "W", "R"], ["r"], "rnn", hidden_size=3)
    drop = helper.make_node("Dropout", ["r", "ratio", "yes"], ["y"], "drop")
    assert "drops values at random" in refused(small(tmp_path / "d.onnx", [rnn, drop], stored)).what
    body = helper.make_graph(
        [helper.make_node("Identity", ["r"], ["in"])], "body", [],
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, None)],
    )  # fmt: skip
    branch = helper.make_node("If", ["yes"], ["y"], "if", then_branch=body, else_branch=body)
    error = refused(small(tmp_path / "i.onnx", [rnn, branch], stored))
    assert "it has a graph of its own" in error.what


def test_dynamic_quantisation_over_a_whole_run_has_no_rule(tmp_path) -> None:
    """Its scale is found over all frames of the run, so chunks would round differently."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"], "quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("RNN", ["d", "W", "R"], ["y"], "rnn", hidden_size=3),
    ]
    error = refused(small(tmp_path / "q.onnx", nodes, WEIGHTS))
    assert "DynamicQuantizeLinear 'quantise'" in error.what


def test_a_constant_for_each_position_is_refused(tmp_path) -> None:
    nodes = [
        helper.make_node("RNN", ["x", "W", "R"], ["r"], "rnn", hidden_size=3),
        helper.make_node("Add", ["r", "table"], ["y"], "positions"),
    ]
    stored = WEIGHTS | {"table": np.zeros((6, 1, 1, 3), np.float32)}
    path = small(tmp_path / "p.onnx", nodes, stored)
    error = refused(path)
    assert "the graph takes no time but 6" in error.what
    assert "input 'x'" in error.where


def test_starts_that_differ_from_row_to_row_are_refused(tmp_path) -> None:
    node = helper.make_node("RNN", ["x", "W", "R", "", "", "h"], ["y"], "rnn", hidden_size=3)
    start = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    path = small(tmp_path / "h.onnx", [node], WEIGHTS | {"h": start})
    assert "its rows do not start alike" in refused(path).what
    named = lift(path, LiftOptions(axes=parse_axes(["x: time, 2, 2"])))
    assert rnnedge.load(named.model).initial_state(1)["rnn.h"].tolist() == start.tolist()


def test_names_in_a_file_are_never_evaluated(tmp_path) -> None:
    assert parse_size("2*batch*time + 1") == 2 * B * T + 1
    for text in (
        "__import__('os')",
        "batch.real",
        "floor(time/2)",
        "time**9**9",
        "",
        "1.5",
        "f(x)",
    ):
        assert parse_size(text) is None
    node = helper.make_node("RNN", ["x", "W", "R"], ["y"], "rnn", hidden_size=3)
    path = small(tmp_path / "evil.onnx", [node], WEIGHTS)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "__import__('os').abort()"
    onnx.save(model, path)
    assert "does not say whether it is the batch or time" in refused(path).what


@pytest.fixture
def old_file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    module = After(lambda y: y)
    free = {0: "batch", 1: "time"}
    return exported(Path("old.onnx"), module, torch.randn(2, 7, 4), x=free)


def test_the_command_writes_a_file_that_runs_and_names_the_next(call, old_file) -> None:
    ended = call("lift", old_file, "-o", "new.onnx", "--sample-rate", 100, "--json")
    assert ended.code == 0
    data = json.loads(ended.out)
    assert data["path"] == "new.onnx"
    assert data["contract"]["signal"]["sample_rate_hz"] == 100
    assert data["contract"]["parity"]["passed"] is True
    assert [check["name"] for check in data["checks"]] == [
        "random chunks", "rows apart", "one row reset", "state gru.h matters",
    ]  # fmt: skip
    assert ended.err.splitlines()[-1] == "next: rnnedge inspect new.onnx"
    assert "gru.h" in call("inspect", "new.onnx").out
    np.save("in.npy", np.zeros((5, 4), np.float32))
    assert call("run", "new.onnx", "in.npy", "-o", "out.npy", "--chunk", 2).code == 0
    again = call("lift", old_file, "-o", "new.onnx")
    assert (again.code, "exists already" in again.err) == (2, True)
    assert call("--quiet", "lift", old_file, "-o", "new.onnx", "--force").out == "new.onnx\n"


def test_the_command_writes_nothing_when_it_refuses(call, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = exported(
        tmp_path / "m.onnx", After(lambda y: y.softmax(1)), torch.randn(2, 7, 4),
        x={0: "batch", 1: "time"},
    )  # fmt: skip
    ended = call("lift", path, "-o", "new.onnx")
    assert ended.code == 2
    what, where, fix = ended.err.splitlines()
    assert (what[:7], where[:9], fix[:7]) == ("error: ", "  where: ", "  fix: ")
    assert not Path("new.onnx").exists()
    assert call("lift", path, "-o", "-").code == 2
    assert call("lift", "no.onnx", "-o", "new.onnx").code == 2


@pytest.mark.slow
def test_lift_needs_no_torch(old_file) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['rnnedge_exporters'] = None\n"
        "from rnnedge.cli import main\n"
        "main(['--quiet', 'lift', 'old.onnx', '-o', 'new.onnx'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"new.onnx\n", b"")
