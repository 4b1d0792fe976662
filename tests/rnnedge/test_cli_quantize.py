"""`rnnedge quantize`, and `rnnedge verify` of what it wrote, as a user calls them."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from quantized_models import layer_file, recurrent_file

import rnnedge
from rnnedge_exporters.errors import QuantizeError
from rnnedge_runtime import load

pytestmark = pytest.mark.slow

QUICK = ("--seconds", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A float file of one GRU, data for it, and metrics."""
    folder = tmp_path_factory.mktemp("quantize")
    (folder / "gru.onnx").write_bytes(recurrent_file("GRU", linear_before_reset=1))
    x = np.random.default_rng(3).standard_normal((40, 2, 24)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, wanted=np.zeros(3))
    np.save(folder / "x.npy", x)
    (folder / "metric.py").write_text(
        "import numpy as np\n"
        "def error(reference, candidate, data):\n"
        "    assert data['wanted'].shape == (3,)\n"
        "    worst = np.abs(reference['y'] - candidate['y']).max()\n"
        "    return {'drop': worst, 'frames': len(data['x'])}\n"
    )
    return folder


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory):
    """A layer that int8 ruins, with weights from large to small in each channel, and a tame one."""
    rng = np.random.default_rng(2)
    weights = {
        "wild": rng.standard_normal((40, 40)) * np.geomspace(1e-4, 1e3, 40)[:, None],
        "tame": np.eye(40) + 0.01 * rng.standard_normal((40, 40)),
    }
    scale = np.geomspace(1e4, 1e-3, 40, dtype=np.float32)  # what is small is what counts
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["s"]),
        helper.make_node("MatMul", ["s", "wild"], ["m"], name="wild"),
        helper.make_node("MatMul", ["m", "tame"], ["y"], name="tame"),
    ]
    stored = {name: array.astype(np.float32) for name, array in weights.items()}
    shape = ("batch", "time", 40)
    path = tmp_path_factory.mktemp("two") / "two.onnx"
    path.write_bytes(layer_file(nodes, {**stored, "scale": scale}, shape, shape))
    return path


def test_a_file_is_quantised_told_of_and_compared(call, folder, tmp_path):
    target = tmp_path / "gru.int8.onnx"
    words = ("--data", folder / "data.npz", "--metric", f"{folder / 'metric.py'}:error")
    ended = call(
        "quantize", folder / "gru.onnx", "-o", target, *words, "--compute-from", 0, *QUICK, "--json"
    )
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["layers"] == [
        {"name": "layer", "operator": "GRU", "weights": 5568, "stored": "int8"}
    ]
    assert told["times_smaller"] == pytest.approx(
        (folder / "gru.onnx").stat().st_size / told["bytes"], rel=0.01
    )
    assert told["bytes"] == target.stat().st_size
    assert told["quality"]["numbers"] == {"frames": 40.0}
    assert told["quality"]["outputs"][0]["snr_db"] > 25
    stored = load(target).contract.source["quantized"]["quality"]
    assert stored == told["quality"]
    again = call("verify", target, "--against", folder / "gru.onnx", *words, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["drop"] == told["quality"]["drop"]
    inspected = call("inspect", target)
    assert "quantized  int8: 1 layers, 0 in float" in inspected.out
    assert "beside the float file, drop" in inspected.out


def test_the_report_names_layers_losses_and_gains(call, folder, tmp_path):
    target = tmp_path / "out.onnx"
    ended = call(
        "quantize", folder / "gru.onnx", "-o", target, "--sensitivity", "--seconds", "0.01"
    )
    for words in (
        "each layer alone, the worst first",
        "int8, computed in float: faster so below 120,000 weights",
        "random signals, seed 0: 1 row of 1,000 frames, 1 frame per push",
        "lost ",
        "times smaller",
        "times as fast",
        f"wrote {target}",
    ):
        assert words in ended.out
    assert f"next: rnnedge verify {target} --against {folder / 'gru.onnx'}" in ended.err


def test_calibration_makes_it_static(call, folder, tmp_path):
    target = tmp_path / "static.onnx"
    words = ("--calibrate", folder / "x.npy", "--compute-from", 0, *QUICK, "--json")
    told = json.loads(call("quantize", folder / "gru.onnx", "-o", target, *words).out)
    assert (told["kind"], told["layers"][0]["stored"]) == ("static", "int8, calibrated")
    assert told["quality"]["data"] == "x.npy, used for calibration, too"
    operators = {node.op_type for node in onnx.load(target).graph.node}
    assert "MatMulIntegerToFloat" in operators
    assert not {"GRU", "DynamicQuantizeMatMul"} & operators


def test_states_are_stored_in_int8_for_those_who_ask(call, folder, tmp_path):
    target = tmp_path / "small.onnx"
    words = ("--states", "int8", "--calibrate", folder / "x.npy", *QUICK)
    ended = call("quantize", folder / "gru.onnx", "-o", target, *words)
    assert ended.code == 0, ended.err
    assert "32 B per stream, in place of 128 B" in " ".join(ended.out.split())
    assert {state.dtype for state in rnnedge.load(target).contract.states} == {"int8"}
    assert "states stored in int8" in " ".join(call("inspect", target).out.split())
    operators = {node.op_type for node in onnx.load(target).graph.node}
    assert "MatMulIntegerToFloat" not in operators  # the kind is not static for it


def test_states_that_break_the_budget_alone_are_told(call, folder, tmp_path):
    words = ("--states", "int8", "--calibrate", folder / "x.npy", "--min-snr-db", "100", *QUICK)
    ended = call("quantize", folder / "gru.onnx", "-o", tmp_path / "out.onnx", *words)
    assert ended.code == 1
    assert "states in int8 alone: " in " ".join(ended.out.split())
    assert "nothing was written" in ended.out


def test_the_worst_layer_stays_in_float_for_the_budget(call, two_layers, tmp_path):
    target = tmp_path / "two.int8.onnx"
    words = ("--min-snr-db", 30, "--compute-from", 0, *QUICK, "--json")
    ended = call("quantize", two_layers, "-o", target, *words)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert [layer["stored"] for layer in told["layers"]] == ["float", "int8"]
    assert told["layers"][0]["why"] == "for the budget"
    assert [one["layer"] for one in told["sensitivity"]] == ["wild", "tame"]
    assert told["quality"]["outputs"][0]["snr_db"] >= 30
    before = {t.name: numpy_helper.to_array(t) for t in onnx.load(two_layers).graph.initializer}
    after = {t.name: numpy_helper.to_array(t) for t in onnx.load(target).graph.initializer}
    np.testing.assert_array_equal(after["wild"], before["wild"])


def test_a_layer_kept_for_the_budget_is_stored_in_int8_where_that_is_enough(call, folder, tmp_path):
    """4 bits are too few for the GRU; 8 bits computed in float are not, beside a second layer."""
    model = onnx.load(folder / "gru.onnx")
    model.graph.node[0].output[0] = "inner"
    model.graph.node.append(helper.make_node("MatMul", ["inner", "w"], ["y"], name="after"))
    weights = np.eye(32, dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    source, target = tmp_path / "two.onnx", tmp_path / "two.int4.onnx"
    onnx.save(model, source)
    words = ("--kind", "weights4", "--min-snr-db", 25, *QUICK, "--json")
    told = json.loads(call("quantize", source, "-o", target, *words).out)
    assert [layer["stored"] for layer in told["layers"]] == [
        "int8, computed in float",
        "4 bits by block",
    ]
    assert told["layers"][0]["why"] == "for the budget"


def test_a_budget_that_never_holds_writes_nothing(call, folder, tmp_path):
    target = tmp_path / "none.onnx"
    ended = call("quantize", folder / "gru.onnx", "-o", target, "--min-snr-db", 150, *QUICK)
    assert ended.code == 1
    assert "at least 150 dB asked for" in ended.out
    assert "nothing was written" in ended.out
    assert not target.exists()


def test_verify_ends_with_1_where_too_much_is_lost(call, folder, tmp_path):
    target = tmp_path / "gru.onnx"
    rnnedge.quantize(folder / "gru.onnx", target, compute_from=0, seconds=0)
    words = ("verify", target, "--against", folder / "gru.onnx")
    assert call(*words, "--min-snr-db", 20).code == 0
    ended = call(*words, "--min-snr-db", 90)
    assert ended.code == 1
    assert "budget broken" in ended.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "int7"), "'int7' is not one of int8, static"),
        (("--form", "loop"), "'loop' is not one of auto, step, chunks"),
        (("--block", "20"), "a power of two, 16 at least"),
        (("--max-drop", "1"), "--max-drop needs --metric"),
        (("--kind", "static"), "--kind static needs --calibrate"),
        (("--kind", "int8", "--calibrate", "x.npy"), "--kind int8 has no use for --calibrate"),
        (("--states", "int4"), "'int4' is not one of float, float16, int8"),
        (("--states", "int8"), "--states int8 needs --calibrate FILE"),
        (("--keep", "lstm"), "there is no layer 'lstm'"),
        (("--data", "none.npz"), "there is no such file"),
    ],
)
def test_what_does_not_go_together_is_refused(call, folder, tmp_path, words, message):
    ended = call("quantize", folder / "gru.onnx", "-o", tmp_path / "out.onnx", *QUICK, *words)
    assert ended.code == 2
    assert message in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--against", "float.onnx", "--batch", "2"),
            "--against FLOAT.onnx has no use for --batch",
        ),
        (("--against", "float.onnx", "--chunk", "2", "--chunk", "3"), "takes one --chunk"),
        (("--against", "model.py:f", "--max-drop", "2"), "has no use for --max-drop"),
        (("--against", "float.onnx", "--max-drop", "2"), "--max-drop needs --metric"),
    ],
)
def test_options_of_a_proof_and_of_a_comparison_are_kept_apart(call, folder, words, message):
    ended = call("verify", folder / "gru.onnx", *words)
    assert ended.code == 2
    assert message in " ".join(ended.err.split())


def test_data_without_an_input_or_without_frames_is_refused(call, folder, tmp_path):
    np.savez(tmp_path / "other.npz", z=np.zeros(3))
    np.save(tmp_path / "empty.npy", np.zeros((0, 1, 24), np.float32))
    words = ("quantize", folder / "gru.onnx", "-o", tmp_path / "out.onnx", "--data")
    ended = call(*words, tmp_path / "other.npz")
    assert ended.code == 2
    assert "there is no array for the model's input 'x'" in ended.err
    ended = call(*words, tmp_path / "empty.npy")
    assert ended.code == 2
    assert "there are no frames in it" in ended.err


def test_python_refuses_what_the_command_line_cannot_ask(folder, tmp_path):
    source, target = folder / "gru.onnx", tmp_path / "out.onnx"
    with pytest.raises(QuantizeError, match="kind 'static' needs calibration"):
        rnnedge.quantize(source, target, kind="static")
    x = {"x": np.load(folder / "x.npy")}
    with pytest.raises(QuantizeError, match="kind 'int8' has no use for calibration"):
        rnnedge.quantize(source, target, kind="int8", calibration=x)
    target.write_bytes(b"")
    with pytest.raises(rnnedge.RnnEdgeError, match="the file exists already"):
        rnnedge.quantize(source, target)


def test_weights_beside_the_file_are_read_and_go_into_the_new_one(folder, tmp_path):
    source = tmp_path / "gru.onnx"
    model = onnx.load(folder / "gru.onnx")
    onnx.save(model, source, save_as_external_data=True, location="weights", size_threshold=0)
    result = rnnedge.quantize(source, tmp_path / "int8.onnx", compute_from=0, seconds=0)
    same = rnnedge.quantize(folder / "gru.onnx", tmp_path / "b.onnx", compute_from=0, seconds=0)
    assert result.quality == same.quality
    assert result.contract.source["quantized"]["of_sha256"] == load(source).sha256


@pytest.mark.slow
def test_a_quantised_file_beside_its_module_is_told_of_as_such(call, tmp_path):
    module = tmp_path / "net.py"
    module.write_text(
        "import torch\n"
        "def make():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(40, 40))\n"
    )
    source, target = tmp_path / "net.onnx", tmp_path / "net.int8.onnx"
    spec = f"{module}:make"
    call("export", spec, "--input", "input: float32[batch, time, 40]", "-o", source)
    call("quantize", source, "-o", target, "--compute-from", 0, *QUICK)
    ended = call("verify", target, "--against", spec)
    assert ended.code == 1
    assert "the file is quantised: it is another function than the module" in ended.err
