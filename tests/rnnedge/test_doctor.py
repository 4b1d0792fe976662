"""`rnnedge doctor`: the facts for a bug report, and nothing that names its user."""

from __future__ import annotations

import getpass
import json
import platform
import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from rnnedge.report import selfcheck
from rnnedge.report.machine import diagnose


def test_doctor_streams_a_model_and_says_ok(call) -> None:
    ended = call("doctor")
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == "ok: a GRU streams, and equals its formula"
    assert ended.err == "next: rnnedge export --help\n"


def test_versions_are_those_installed(call) -> None:
    data = json.loads(call("doctor", "--json").out)
    for name in ("rnnedge", "rnnedge-runtime", "numpy", "onnx", "onnxruntime", "torch", "typer"):
        assert data["packages"][name] == version(name)
    assert data["passed"] is True
    assert data["python"].endswith(platform.python_version())
    assert "CPUExecutionProvider" in data["providers"]
    assert 1 <= data["cpu_usable"] <= data["cpu_cores"]
    assert data["memory_bytes"] > 2**28


@pytest.mark.slow
def test_torch_is_not_imported_for_its_version() -> None:
    probe = (
        "import sys\nfrom rnnedge.cli import main\n"
        "try: main(['doctor'])\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True)
    assert done.stderr.decode().splitlines()[-1] == "False"


def test_no_path_host_or_user_is_told(call) -> None:
    said = call("doctor").out + call("doctor", "--json").out
    private = {str(Path.home()), str(Path.cwd()), sys.executable, socket.gethostname()}
    private |= {getpass.getuser()} - {"root"}
    assert not [word for word in private if re.search(rf"\b{re.escape(word)}\b", said)]


def test_a_wrong_result_is_noticed_and_ends_with_1(call, monkeypatch) -> None:
    formula = selfcheck._formula
    monkeypatch.setattr(selfcheck, "_formula", lambda *given: formula(*given) + np.float32(1e-3))
    ended = call("doctor")
    assert ended.code == 1
    assert ended.out.splitlines()[-1] == "not ok: the outputs are off by 1.0e-03"


@pytest.mark.parametrize("module", ["onnxruntime", "onnx"])
def test_a_package_that_cannot_be_imported_is_told_not_thrown(module) -> None:
    probe = (
        f"import sys\nsys.modules[{module!r}] = None\n"
        "from rnnedge.report.machine import diagnose\nprint(diagnose().problem)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True)
    assert done.stdout.decode().startswith(f"module '{module}")


def test_the_features_listed_are_those_that_choose_kernels() -> None:
    known = diagnose().cpu_features
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    assert all(feature in text for feature in known)


def test_plugins_that_are_installed_are_told_usable_or_not(call) -> None:
    pytest.importorskip("onnxruntime_ep_openvino")
    data = json.loads(call("doctor", "--json").out)
    idle = data["idle_plugins"].get("onnxruntime-ep-openvino")
    assert (idle is None) == ("OpenVINOExecutionProvider" in data["providers"])
    if idle is not None:
        assert idle == "it finds no device that it supports"
        said = " ".join(call("doctor").out.split())
        assert f"onnxruntime-ep-openvino is of no use here: {idle}" in said
