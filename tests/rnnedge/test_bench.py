"""`rnnedge bench`: what is told, in every form, and how it ends."""

from __future__ import annotations

import getpass
import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import rnnedge
from rnnedge.benchmark import BenchError, BenchOptions
from rnnedge.report.bench import BenchSummary, rtf_text

pytestmark = pytest.mark.slow

QUICK = ("--seconds", 0.1, "--calls", 12)


@pytest.fixture(scope="module")
def report(gru_file):
    options = BenchOptions(seconds=0.1, calls=12, hop_ms=2, batch=2, max_p99_ms=1e6, max_rtf=1e-9)
    return rnnedge.bench(gru_file, options)


def test_everything_is_measured_in_one_run(report) -> None:
    data = report.to_dict()
    assert data["called"]["frames"] == 5  # 10 ms of signal
    assert (data["called"]["batch"], data["called"]["provider"]) == (2, "CPUExecutionProvider")
    for part in ("back_to_back", "paced"):
        timed = data[part]
        assert timed["calls"] == (12 if part == "back_to_back" else 3)
        assert timed["real_time_factor"] == pytest.approx(timed["p50_us"] / 10_000)
        assert timed["us_per_frame"] == pytest.approx(timed["p50_us"] / 10)
        assert timed["times_limit"] == pytest.approx(timed["p50_us"] / data["limit"]["limit_us"])
    assert [(p["frames"], p["batch"]) for p in data["chunk_sweep"]][:3] == [(1, 2), (2, 2), (5, 2)]
    assert [(p["frames"], p["batch"]) for p in data["batch_sweep"]][:3] == [(5, 1), (5, 2), (5, 4)]
    # float32 [1, 2, 4]; the weights of a GRU 3 -> 4: 3 * 4 * (3 + 4 + 2) numbers.
    assert data["memory"]["state_bytes"] == 32
    assert data["limit"]["weight_bytes"] == 3 * 4 * (3 + 4 + 2) * 4
    assert min(data["cold"].values()) > 0
    assert data["back_to_back"]["cpu_us_per_call"] > 0


def test_the_result_names_nothing_of_its_user(report, gru_file) -> None:
    text = json.dumps(report.to_dict())
    assert report.called.file == gru_file.name
    assert str(gru_file.parent) not in text
    for private in (socket.gethostname(), str(Path.home()), f"/{getpass.getuser()}/"):
        assert private not in text


def test_the_table_fits_a_terminal_of_100_columns(report) -> None:
    wide = io.StringIO()
    summary = BenchSummary(report)
    tables = [part for part in summary.to_rich().renderables if getattr(part, "show_header", False)]
    console = Console(file=wide, width=500)
    assert len([table for table in tables if table.columns]) >= 3
    for table in tables:
        # The last table is names and sentences, which wrap.
        if table.box is not None:
            assert console.measure(table).maximum <= 100
    narrow = io.StringIO()
    Console(file=narrow, width=100).print(summary.to_rich())
    assert max(map(len, narrow.getvalue().splitlines())) <= 100
    assert "…" not in narrow.getvalue()


def test_the_direction_of_the_real_time_factor_is_told() -> None:
    assert rtf_text(0.012) == "rtf 0.012 (83.3 times faster than real time)"
    assert rtf_text(2) == "rtf 2 (2 times SLOWER than real time)"


def test_a_broken_budget_ends_with_1_and_says_which_and_by_how_much(report, call, gru_file) -> None:
    assert not report.passed
    p99, rtf = report.budgets
    assert (p99.passed, rtf.passed) == (True, False)
    ended = call("bench", gru_file, *QUICK, "--no-sweep", "--max-p99-ms", 1e-6)
    assert ended.code == 1
    assert "budget broken: p99 " in ended.err
    assert "allowed 1e-06 ms: " in ended.err
    assert "BUDGET BROKEN" in ended.out
    assert "unknown: give --hop-ms" in ended.out


@pytest.mark.slow
def test_the_hop_is_the_files_own_where_it_has_one(call, leak_file, tmp_path) -> None:
    saved, text = tmp_path / "b.json", tmp_path / "b.md"
    plot = tmp_path / "b.svg"
    words = ("--save", saved, "--markdown", text, "--plot", plot, "--json", "--no-sweep")
    words += ("--max-p99-ms", 1e6)
    ended = call("bench", leak_file, *QUICK, *words)
    assert ended.code == 0, ended.err
    assert ended.err.splitlines()[-1].startswith("next: rnnedge run ")
    assert "**budget kept**: p99 " in text.read_text()
    data = json.loads(ended.out)
    assert data == json.loads(saved.read_text())
    assert data["schema_version"] == 1
    # 16 kHz, a sample per frame: 10 ms are 160 of them.
    assert (data["called"]["hop_ms"], data["called"]["frames"]) == (0.0625, 160)
    assert data["paced"]["period_ms"] == 10
    assert (data["chunk_sweep"], data["peers"]) == ([], [])
    assert "| back to back | 12 |" in text.read_text()
    assert "<svg" in plot.read_text()
    again = call("bench", leak_file, *QUICK, "--save", saved)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_markdown_goes_to_stdout_in_place_of_the_table(call, gru_file) -> None:
    ended = call("bench", gru_file, *QUICK, "--no-sweep", "--markdown", "-")
    assert ended.code == 0
    assert ended.out.startswith("# gru.onnx, measured\n\n* **model**: ")
    lines = [line for line in ended.out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--max-rtf", 1), "a real-time factor needs to know how much signal a frame is"),
        (("--hop-ms", 0), "0.0 is refused"),
        (("--seconds", -1), "-1.0 is refused"),
        (("--peer", "caffe"), "'caffe' is no runtime that is known here"),
        (("--plot", "x.txt"), "a plot is a"),
        (("--plot", "-"), "--save and --plot name files"),
        (("--json", "--markdown", "-"), "stdout takes one of"),
        (("--against", "a.py:b"), "--against needs --peers"),
        (("--peers", "--weights", "w.safetensors"), "need --against"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(
    call, gru_file, words, what
) -> None:
    ended = call("bench", gru_file, *words)
    assert ended.code == 2
    assert what in " ".join(ended.err.replace("│", " ").split())
    assert ended.out == "" or "error" in json.loads(ended.out)


def test_a_chunk_that_is_no_whole_run_is_refused(gru_file, rewrite) -> None:
    contract = json.loads(rnnedge.load(gru_file).contract.to_json())
    file = rewrite(gru_file, json.dumps(contract | {"chunk_multiple": 4}))
    with pytest.raises(BenchError, match="a call of 6 frames is no number of whole runs") as caught:
        rnnedge.bench(file, BenchOptions(chunk=6))
    assert (caught.value.where, caught.value.fix) == ("--chunk", "give a multiple of 4")


def test_a_whole_sequence_model_is_no_stream_to_measure(call, whole_file) -> None:
    ended = call("bench", whole_file)
    assert ended.code == 2
    assert "sequence" in ended.err


def test_neither_torch_nor_the_exporters_are_needed(leak_file) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['rnnedge_exporters'] = None\n"
        "from rnnedge.cli import main\n"
        f"main(['bench', {str(leak_file)!r}, '--seconds', '0.1', '--calls', '5', '--no-sweep'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert "back to back" in done.stdout.decode()
