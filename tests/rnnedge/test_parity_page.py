"""What docs/parity.md shows for a project's own tests and for its CI does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "parity.md").read_text()
NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(8, 4, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


def make_net():
    return Net()
"""

pytestmark = pytest.mark.slow


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return text


@pytest.fixture
def project(tmp_path, monkeypatch, call):
    """A project with ``net.py`` and the committed file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":".join([str(tmp_path), *sys.path]))
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("net.py").write_text(NET)
    words = ("export", "net.py:make_net", "--input", "x: float32[batch, time, 8]")
    assert call(*words, "-o", "net.onnx").code == 0
    return tmp_path


def test_the_tests_that_are_shown_pass(project):
    Path("test_net.py").write_text(block("python"))
    plugin = ("-p", "no:rnnedge", "-p", "rnnedge.testing.plugin")
    command = [sys.executable, "-m", "pytest", "-q", *plugin, "test_net.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout


def test_the_commands_of_the_workflow_pass(project, call):
    lines = re.findall(r"^ +(?:- run: )?(rnnedge .*)$", block("yaml"), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        ended = call(*shlex.split(line)[1:])
        assert ended.code == 0, ended.err
