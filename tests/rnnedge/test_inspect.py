"""`rnnedge inspect`: what a file promises and holds."""

from __future__ import annotations

import json
import subprocess
import sys

import onnx
import pytest


def test_inspect_shows_ports_states_operators_weights_and_proof(call, gru_file) -> None:
    ended = call("inspect", gru_file)
    assert ended.code == 0
    words = " ".join(ended.out.split())
    for said in (
        "input x float32 [batch, time, 3]",
        "output y float32 [batch, time, 4] 1 0",
        "gru.h hidden float32 [1, batch, 4] 0",
        "gru GRU 3 4 forward 432 B",
        "weights 108 parameters, 432 B",
        "per frame 84 multiply-adds, 432 B of weights read (batch 1)",
        "opset 22: 2 Transpose, 1 GRU, 1 Squeeze",
        "contract version 2, mode stream",
        "source class torch.nn.GRU, opset 22",
        "proof passed, 1 checks",
    ):
        assert said in words


def test_inspect_json_holds_the_contract_as_stored_and_the_graph(call, gru_file) -> None:
    data = json.loads(call("inspect", gru_file, "--json").out)
    stored = {entry.key: entry.value for entry in onnx.load(gru_file).metadata_props}
    assert data["contract"] == json.loads(stored["rnnedge.contract"])
    assert data["graph"]["recurrent"] == [
        {
            "name": "gru",
            "op": "GRU",
            "input_size": 3,
            "hidden_size": 4,
            "direction": "forward",
            "weight_bytes": 432,
        }
    ]
    assert data["graph"]["inputs"][0] == {
        "name": "x",
        "dtype": "float32",
        "shape": ["batch", "time", 3],
    }
    assert data["cost"] == {
        "batch": 1,
        "counted_frames": 1,
        "multiply_adds_per_frame": 84,
        "weight_bytes_per_frame": 432,
        "not_counted": [],
    }


def test_a_file_without_a_contract_shows_its_graph_and_a_warning(call, bare_file) -> None:
    ended = call("inspect", bare_file)
    assert ended.code == 0
    assert "input gru.h float32 [1, batch, 4]" in " ".join(ended.out.split())
    assert ended.err.splitlines() == [
        "warning: the file has no contract, so nothing says which inputs are states",
        "  fix: export it with `rnnedge export`, which writes one",
    ]


def test_the_warning_keeps_json_clean(call, bare_file) -> None:
    assert json.loads(call("inspect", bare_file, "--json").out)["contract"] is None


@pytest.mark.slow
def test_inspect_needs_no_torch(gru_file) -> None:
    probe = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # importing it now fails
        "from rnnedge.cli import main\n"
        f"try: main(['inspect', {str(gru_file)!r}])\n"
        "except SystemExit as ended: code = ended.code\n"
        "print('code', code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True)
    assert done.stderr.decode().splitlines()[-1] == "code 0"


@pytest.mark.parametrize("size", [0, 10, 200, -1])
def test_a_truncated_file_is_not_a_whole_model(call, gru_file, tmp_path, size) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(gru_file.read_bytes()[:size])
    ended = call("inspect", path)
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "error: the file is not a whole ONNX model",
        f"  where: {path}",
        "  fix: copy or export it again; compare its size with the original's",
    ]


def test_a_text_file_is_not_a_model(call, tmp_path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("not a model\n" * 20)
    assert "not a whole ONNX model" in call("inspect", path).err


def test_a_damaged_contract_is_named_with_its_field(call, gru_file, rewrite) -> None:
    ended = call("inspect", rewrite(gru_file, '{"version": 1, "mode": 3}'))
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "error: the contract is damaged: str expected, got int",
        "  where: metadata 'rnnedge.contract', contract, field 'mode'",
        "  fix: export the model again; if the file was edited, restore the original",
    ]


def test_text_from_the_file_is_never_read_as_markup(call, gru_file, rewrite) -> None:
    stored = {entry.key: entry.value for entry in onnx.load(gru_file).metadata_props}
    contract = stored["rnnedge.contract"].replace('"name": "gru.h"', '"name": "[red]h[/nope]"')
    ended = call("inspect", rewrite(gru_file, contract))
    assert ended.code == 0
    assert "[red]h[/nope]" in ended.out
