"""What all commands share: one result in three forms, and files that are never half written."""

from __future__ import annotations

import json
import math

import pytest

from rnnedge.cli import _output


class Answer:
    def to_dict(self):
        return {"worst": {"ratio": math.inf, "all": [1.0, math.nan]}, "passed": False}

    def to_rich(self):
        return "for a person " + "x " * 100

    def to_line(self):
        return "failed"


@pytest.fixture(autouse=True)
def default_settings(monkeypatch) -> None:
    monkeypatch.setattr(_output, "settings", _output.Settings())


def test_json_has_no_numbers_that_json_does_not_know(capsys) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    _output.emit(Answer(), json=True)
    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == {
        "schema_version": 1,
        "worst": {"ratio": "inf", "all": [1.0, "nan"]},
        "passed": False,
    }


def test_a_result_is_for_a_person_unless_asked_otherwise_and_never_cut(capsys) -> None:
    _output.emit(Answer(), json=False)
    _output.settings.quiet = True
    _output.emit(Answer(), json=False)
    assert capsys.readouterr().out == f"for a person {'x ' * 100}\nfailed\n"


def test_quiet_keeps_warnings(capsys) -> None:
    _output.settings.quiet = True
    _output.say("progress")
    _output.warn("look out", fix="like this")
    assert capsys.readouterr().err == "warning: look out\n  fix: like this\n"


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    failing = _output.replacing(path)
    failing.__enter__().write_text("half")
    assert path.read_text() == "old"
    assert not failing.__exit__(OSError, OSError("disk full"), None)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "old")]
    with _output.replacing(path) as part:
        part.write_text("new")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "new")]


def test_long_lines_are_not_cut_for_a_pipe(capsys) -> None:
    _output.warn("x" * 500, fix="y" * 500)
    assert capsys.readouterr().err == f"warning: {'x' * 500}\n  fix: {'y' * 500}\n"
