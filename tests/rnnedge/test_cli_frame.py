"""The frame around all commands: start, exit codes, streams, errors, completion."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "rich", "soundfile")
COMMANDS = ("export", "verify", "inspect", "run", "train", "generate", "doctor")


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["train", "char-lm", "--help"], ["--version"]]
)
def test_help_and_version_import_nothing_heavy(words) -> None:
    probe = (
        "import sys\nfrom rnnedge.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True)
    assert done.stderr.decode().strip() == "[]"


@pytest.mark.slow
def test_help_takes_less_than_300_ms_of_the_processor() -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "rnnedge", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    seconds()  # writes the byte code
    # The best of several: what else runs on the machine only ever adds to it.
    assert min(seconds() for _ in range(5)) < 0.3


def test_help_names_every_command_and_cuts_no_description(call) -> None:
    ended = call("--help")
    assert ended.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in ended.out
    assert "..." not in ended.out.partition("Commands:")[2]


def test_version_is_that_of_the_distribution(spawn) -> None:
    from importlib.metadata import version

    assert spawn("--version").stdout.decode().strip() == version("rnnedge")


def test_the_console_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("rnnedge")
    done = subprocess.run([script, "--version"], capture_output=True, check=True)
    assert done.stdout.decode().strip()


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["inspect"],
        ["inspect", "--nonsense", "x.onnx"],
        ["run", "m.onnx", "x.npy", "--chunk", "0"],
        ["run", "m.onnx", "x.npy", "--threads", "many"],
        ["run", "m.onnx", "x.npy", "-o", "-", "--json"],
        ["export", "m.py:f", "--input", "x", "-o", "m.onnx", "--mode", "sideways"],
        ["export", "m.py:f", "--input", "x", "-o", "m.onnx", "--hop", "4"],
        ["export", "m.py:f", "-o", "m.onnx"],
    ],
)
def test_wrong_usage_ends_with_2_and_nothing_on_stdout(call, words) -> None:
    ended = call(*words)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: rnnedge" in ended.err


def test_an_error_is_three_lines_on_stderr(call, tmp_path) -> None:
    path = tmp_path / "missing.onnx"
    ended = call("inspect", path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "error: there is no such file",
        f"  where: {path}",
        "  fix: check the path",
    ]


def test_with_json_an_error_is_an_object_on_stdout_too(call, tmp_path) -> None:
    path = tmp_path / "missing.onnx"
    ended = call("inspect", path, "--json")
    assert ended.code == 2
    assert json.loads(ended.out) == {
        "schema_version": 1,
        "error": {"what": "there is no such file", "where": str(path), "fix": "check the path"},
    }


def test_what_the_system_refuses_is_for_the_user_to_fix(
    call, gru_file, frames_file, tmp_path
) -> None:
    in_the_way = tmp_path / "y.npy.part"
    in_the_way.mkdir()
    ended = call("run", gru_file, frames_file, "-o", tmp_path / "y.npy")
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "error: the system refused: is a directory",
        f"  where: {in_the_way}",
        "  fix: check the path, its permissions and the free space",
    ]


def test_a_bug_of_ours_ends_with_70_and_asks_for_a_report(call, monkeypatch, gru_file) -> None:
    monkeypatch.setattr("rnnedge.report.inspection.describe", lambda model: 1 / 0)
    ended = call("inspect", gru_file)
    assert ended.code == 70
    lines = ended.err.splitlines()
    assert lines[0] == "error: a bug in rnnedge: ZeroDivisionError: division by zero"
    assert lines[1].startswith("  where: rnnedge.report.inspection, line ")
    assert "rnnedge doctor" in lines[2]
    assert len(lines) == 3


def test_verbose_shows_the_traceback(call, monkeypatch, gru_file) -> None:
    monkeypatch.setattr("rnnedge.report.inspection.describe", lambda model: 1 / 0)
    ended = call("--verbose", "inspect", gru_file)
    assert ended.code == 70
    assert "Traceback (most recent call last)" in ended.err


def test_quiet_prints_the_essential_and_no_hint(call, gru_file) -> None:
    ended = call("--quiet", "inspect", gru_file)
    assert (ended.code, ended.out, ended.err) == (0, "stream\n", "")


def test_success_ends_with_the_next_command_on_stderr(call, gru_file) -> None:
    ended = call("inspect", gru_file)
    assert ended.err == f"next: rnnedge run {gru_file} INPUT.npy --output OUTPUT.npy\n"


def test_a_hint_can_be_pasted_whatever_the_file_is_called(call, gru_file, tmp_path) -> None:
    path = tmp_path / "my model.onnx"
    path.write_bytes(gru_file.read_bytes())
    assert f"'{path}'" in call("inspect", path).err


def test_no_escape_codes_reach_a_pipe(spawn, gru_file) -> None:
    done = spawn("inspect", gru_file, env={"TERM": "xterm-256color"})
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize(("no_color", "colours"), [(None, True), ("1", False)])
def test_no_color_is_honoured_on_a_terminal(no_color, colours, tmp_path) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CI", "FORCE_COLOR")}
    env |= {"TERM": "xterm-256color"} | ({"NO_COLOR": no_color} if no_color else {})
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "rnnedge", "inspect", str(tmp_path / "missing.onnx")]
    done = subprocess.run(words, stderr=theirs, stdout=subprocess.PIPE, env=env, check=False)
    os.close(theirs)
    said = os.read(ours, 10_000)
    os.close(ours)
    assert done.returncode == 2
    assert (b"\x1b[1;31m" in said) is colours


def test_a_reader_that_leaves_is_no_error(gru_file) -> None:
    words = [sys.executable, "-m", "rnnedge", "inspect", str(gru_file), "--json"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(30), said) == (141, b"")


def test_an_interrupt_ends_with_130_and_keeps_what_was_written(gru_file, frames, tmp_path) -> None:
    output = tmp_path / "out.npy"
    part = tmp_path / "out.npy.part"
    words = [sys.executable, "-m", "rnnedge", "run", str(gru_file), "-", "-o", str(output)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_heed_interrupts
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(frames.tobytes())
        process.stdin.flush()
        _wait_for(part, 256 + frames[:, :1].size * 4 * 4)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait(30) == 130
    assert not output.exists()
    assert np.load(part).shape == (len(frames), 4)
    assert str(part) in said


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores interrupts, and so do its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait_for(path: Path, size_bytes: int) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < size_bytes:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _complete(spawn, line: str) -> list[str]:
    words = line.split(" ")
    env = {
        "_RNNEDGE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    # Typer names the variable after the program; `python -m rnnedge` goes by the same name.
    return spawn(env=env).stdout.decode().split()


@pytest.mark.slow
def test_commands_complete(spawn) -> None:
    assert _complete(spawn, "rnnedge in") == ["inspect"]
    assert set(COMMANDS) <= set(_complete(spawn, "rnnedge "))


@pytest.mark.slow
def test_options_and_their_choices_complete(spawn) -> None:
    assert _complete(spawn, "rnnedge run --state") == ["--state-in", "--state-out"]
    assert _complete(spawn, "rnnedge export --mode s") == ["stream", "sequence"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_show_completion_prints_the_script_of_the_shell_named(spawn, shell) -> None:
    done = spawn("--show-completion", shell)
    assert done.returncode == 0
    assert b"_RNNEDGE_COMPLETE=complete_" + shell.encode() in done.stdout


def test_an_unknown_shell_is_wrong_usage(spawn) -> None:
    done = spawn("--show-completion", "cmd")
    assert (done.returncode, done.stdout) == (2, b"")
