"""`rnnedge inspect --clocks`: how each tensor runs with time, of a module or of a file."""

from __future__ import annotations

import json
import subprocess
import sys

import onnx
import pytest
from onnx import helper

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width="4"):
        super().__init__()
        self.conv = nn.Conv1d(3, 4, int(width))

    def forward(self, x):
        return self.conv(nn.functional.pad(x, (int(self.conv.kernel_size[0]) - 1, 0)))


class Wrong(Net):
    def forward(self, x):
        return super().forward(x).softmax(-1)
"""
INPUT = ("--input", "x: float32[batch, 3, time]")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clocked.py").write_text(NET)
    return tmp_path


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A file with a context of 3, exported."""
    from torch import nn

    from rnnedge_exporters import convert

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, 4, 4)

        def forward(self, x):
            return self.conv(nn.functional.pad(x, (3, 0)))

    path = tmp_path_factory.mktemp("clocks") / "net.onnx"
    path.write_bytes(convert(Net(), {"x": "float32[batch, 3, time]"}).to_bytes())
    return path


def test_a_modules_clocks_are_a_table_with_the_users_lines(call, folder):
    ended = call("inspect", "clocked.py:Net", "--arg", "width=6", "--clocks", *INPUT)
    assert ended.code == 0
    conv = next(line for line in ended.out.splitlines() if "conv1d" in line)
    assert conv.split()[:6] == ["conv", "conv1d", "[batch,", "4,", "time]", "1"]
    assert "context of 5" in conv
    assert "clocked.py:12: return self.conv(" in conv
    assert "T + 5" in ended.out
    assert ended.err.splitlines() == [
        "next: rnnedge export clocked.py:Net --input 'x: float32[batch, 3, time]' -o model.onnx"
    ]


def test_clocks_up_to_a_refusal_then_the_error_and_exit_code_2(call, folder):
    ended = call("inspect", "clocked.py:Wrong", "--clocks", *INPUT)
    assert ended.code == 2
    assert "conv1d" in ended.out
    assert "softmax" not in ended.out.replace("softmax(-1)", "")
    first, where, fix = ended.err.splitlines()
    assert first == "error: this cannot stream: softmax runs along time"
    assert "clocked.py:17" in where
    assert fix.startswith("  fix: let it run over another axis")


def test_json_holds_the_clocks_and_the_refusal_in_one_document(call, folder):
    ended = call("inspect", "clocked.py:Wrong", "--clocks", *INPUT, "--json")
    found = json.loads(ended.out)
    assert ended.code == 2
    assert [row["operator"] for row in found["clocks"]] == ["input x", "pad", "conv1d"]
    assert found["clocks"][1]["shape"] == ["batch", 3, "time + 3"]
    assert found["clocks"][1]["delay"] == -3
    assert found["refusal"]["what"] == "this cannot stream: softmax runs along time"


@pytest.mark.slow
def test_a_files_clocks_are_shown_without_torch(stored):
    probe = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # importing it now fails
        "from rnnedge.cli import main\n"
        f"try: main(['inspect', {str(stored)!r}, '--clocks', '--json'])\n"
        "except SystemExit as ended: code = ended.code\n"
        "print('code', code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True)
    assert done.stderr.decode().splitlines()[-1] == "code 0"
    found = json.loads(done.stdout)
    assert [(row["operator"], row["plan"]) for row in found["clocks"]] == [
        ("input x", ""),
        ("pad", "padded by 3 before and 0 after"),
        ("conv1d", "context of 3"),
    ]
    assert found["refusal"] is None


def test_a_file_without_clocks_says_so(call, gru_file):
    ended = call("inspect", gru_file, "--clocks")
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "error: the file does not say how its tensors run with time",
        f"  where: {gru_file}, metadata 'rnnedge.clocks'",
        "  fix: give the module itself with --input, or export it again with this release; files "
        "in sequence mode and adopted ones have no clocks",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "the clocks are damaged: JSONDecodeError"),
        ('{"version": 1, "columns": ["module"], "rows": [["a"]]}', "damaged: KeyError"),
        ('{"version": 7, "columns": [], "rows": []}', "of version 7, and this release reads 1"),
    ],
)
def test_damaged_or_newer_clocks_are_told(call, stored, tmp_path, text, told):
    model = onnx.load(stored)
    del model.metadata_props[:]
    helper.set_model_props(model, {"rnnedge.clocks": text})
    path = tmp_path / "damaged.onnx"
    onnx.save(model, path)
    ended = call("inspect", path, "--clocks")
    assert ended.code == 2
    assert told in ended.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (INPUT, "--input needs --clocks"),
        (("--clocks", "--arg", "a=1"), "--arg, --weights, --weights-key and --state need --input"),
        (("--clocks", "--graph", "-"), "give one of --clocks and --graph"),
        (("--clocks",), "--clocks of a module needs --input"),
    ],
)
def test_options_that_do_not_go_together_are_told(call, folder, words, told):
    ended = call("inspect", "clocked.py:Net", *words)
    assert ended.code == 2
    assert told in " ".join(ended.err.split())
