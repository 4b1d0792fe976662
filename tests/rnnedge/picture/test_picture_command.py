"""`rnnedge inspect --graph`: what it writes where, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def nested_file(net, tmp_path):
    x = "x"
    for number in range(30):
        x = net.linear(f"layers.{number}.first", x)
        x = net.linear(f"layers.{number}.second", x)
    net.output(x, "y", "batch", "time", 8)
    return net.save(tmp_path / "nested.onnx")


def test_graph_writes_an_svg_and_says_so(call, gru_file, tmp_path) -> None:
    path = tmp_path / "gru.svg"
    ended = call("inspect", gru_file, "--graph", path)
    assert (ended.code, ended.out) == (0, f"wrote {path}, 3 boxes\n")
    assert ended.err == f"next: rnnedge run {gru_file} INPUT.npy --output OUTPUT.npy\n"
    assert path.read_text().startswith("<svg ")
    assert [file.name for file in tmp_path.iterdir()] == ["gru.svg"]


def test_graph_writes_mermaid_to_a_file_and_to_stdout(call, gru_file, tmp_path) -> None:
    path = tmp_path / "gru.mmd"
    assert call("inspect", gru_file, "--graph", path).code == 0
    ended = call("inspect", gru_file, "--graph", "-")
    assert ended.out == path.read_text()
    assert ended.out.startswith("flowchart TD\n")
    assert 'GRU 3→4"]' in ended.out
    assert '-.->|"h 1×4"|' in ended.out


def test_a_picture_that_hides_something_says_how_to_see_it(call, nested_file, tmp_path) -> None:
    path = tmp_path / "nested.mmd"
    ended = call("inspect", nested_file, "--graph", path)
    assert ended.out == f"wrote {path}, 32 boxes, depth 2 of 3\n"
    deeper = ["inspect", str(nested_file), "--graph", str(path), "--depth", "3", "--force"]
    assert ended.err == f"next: rnnedge {' '.join(deeper)}\n"
    assert call(*deeper).out == f"wrote {path}, 62 boxes\n"


def test_a_greater_depth_than_there_is_shows_all(call, nested_file) -> None:
    assert call("inspect", nested_file, "--graph", "-", "--depth", 9).out.count('["<b>layers') == 60


def test_frames_are_drawn_unless_refused(call, net, tmp_path) -> None:
    net.output(net.linear("a.c", net.linear("a.b", "x")), "y", "batch", "time", 8)
    other = net.linear("d", "x")
    net.output(other, "z", "batch", "time", 8)
    file = net.save(tmp_path / "net.onnx")
    assert "subgraph" in call("inspect", file, "--graph", "-").out
    assert "subgraph" not in call("inspect", file, "--graph", "-", "--no-frames").out


def test_json_tells_what_was_drawn(call, nested_file, tmp_path) -> None:
    path = tmp_path / "nested.svg"
    assert json.loads(call("inspect", nested_file, "--graph", path, "--json").out) == {
        "schema_version": 1, "path": str(path), "boxes": 32, "depth": 2, "deepest": 3,
    }  # fmt: skip


def test_quiet_prints_the_path(call, gru_file, tmp_path) -> None:
    path = tmp_path / "gru.mmd"
    ended = call("--quiet", "inspect", gru_file, "--graph", path)
    assert (ended.out, ended.err) == (f"{path}\n", "")


def test_an_existing_file_needs_force(call, gru_file, tmp_path) -> None:
    path = tmp_path / "gru.mmd"
    path.write_text("mine")
    ended = call("inspect", gru_file, "--graph", path)
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "error: the output file exists already",
        f"  where: {path}",
        "  fix: give another name with --graph, or --force to replace it",
    ]
    assert path.read_text() == "mine"
    assert call("inspect", gru_file, "--graph", path, "--force").code == 0
    assert path.read_text().startswith("flowchart")


@pytest.mark.parametrize(
    ("name", "found"), [("out.png", "a '.png' file"), ("out", "a file of no kind")]
)
def test_other_kinds_of_picture_are_refused(call, gru_file, name, found) -> None:
    ended = call("inspect", gru_file, "--graph", name)
    assert ended.code == 2
    assert ended.err.splitlines() == [
        f"error: pictures are .svg or .mmd (Mermaid) files, got {found}",
        f"  where: --graph {name}",
        "  fix: name a file that ends in .svg or .mmd, or give - for Mermaid text on stdout",
    ]


def test_stdout_carries_one_thing(call, gru_file) -> None:
    ended = call("inspect", gru_file, "--graph", "-", "--json")
    assert ended.code == 2
    assert "stdout takes one of --json and --graph -" in ended.err


@pytest.mark.parametrize("option", [["--depth", "2"], ["--no-frames"], ["--force"]])
def test_options_of_the_picture_need_one(call, gru_file, option) -> None:
    ended = call("inspect", gru_file, *option)
    assert ended.code == 2
    assert "--depth, --no-frames and --force need --graph" in ended.err


def test_a_file_without_a_contract_is_drawn_with_a_warning(call, bare_file) -> None:
    ended = call("inspect", bare_file, "--graph", "-")
    assert ended.code == 0
    assert "<b>gru.h</b>" in ended.out
    assert ended.err.splitlines()[0] == (
        "warning: the file has no contract, so nothing says which inputs are states"
    )


def test_a_picture_needs_no_torch_and_mermaid_no_graphviz(gru_file) -> None:
    probe = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['pygraphviz'] = None\n"  # importing them now fails
        "from rnnedge.cli import main\n"
        f"main(['inspect', {str(gru_file)!r}, '--graph', '-'])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True)
    assert done.stdout.startswith(b"flowchart TD\n")


@pytest.mark.slow
def test_an_svg_prints_nothing_but_our_own_words(spawn, gru_file, tmp_path) -> None:
    done = spawn("inspect", gru_file, "--graph", tmp_path / "gru.svg")
    assert done.returncode == 0
    assert done.stderr.startswith(b"next: ")  # Graphviz warns on stderr by itself
