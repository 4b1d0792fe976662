"""What a device installs: one small package that needs numpy and onnxruntime, nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from aligned_models import ALL

import rnnedge

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "runtime"

_RUN_A_MODEL = """
import sys
import numpy as np
import rnnedge_runtime
assert "site-packages" in rnnedge_runtime.__file__, rnnedge_runtime.__file__
model = rnnedge_runtime.load(sys.argv[1])
x = np.load(sys.argv[2])
stream = model.stream(batch=x.shape[0])
parts = [stream.push(x[:, t : t + 1]) for t in range(x.shape[1])]
np.save(sys.argv[3], np.concatenate(parts, axis=1))
for name in ("torch", "onnx", "rnnedge", "rnnedge_exporters"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} is installed here")
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The runtime's wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, SOURCE)
    _run(sys.executable, *build)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def device(wheel, tmp_path_factory):
    """Python with the runtime, numpy and onnxruntime; neither torch nor onnx."""
    folder = tmp_path_factory.mktemp("device")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", "--prefer-binary", wheel)
    return python


def _run(python, *arguments, code=0, **environment):
    """Runs Python in a process of its own; returns what it prints, and fails with what it says."""
    command = [python, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_importing_the_runtime_imports_neither_torch_nor_onnx():
    code = (
        "import sys, rnnedge_runtime; "
        "print(*sorted({'torch', 'onnx', 'onnxscript', 'rnnedge', 'rnnedge_exporters'} "
        "& set(sys.modules)))"
    )
    assert _run(sys.executable, "-W", "error", "-c", code).strip() == ""


HEAVY = {
    "asyncio",
    "concurrent",
    "email",
    "http",
    "importlib.metadata",
    "socket",
    "ssl",
    "unittest",
}
"""What took a third of the import's time when it was imported along."""


def test_importing_the_runtime_imports_little_beside_onnxruntime():
    def imported(name):
        return set(_run(sys.executable, "-c", f"import {name}, sys; print(*sys.modules)").split())

    more = imported("rnnedge_runtime") - imported("onnxruntime")
    others = {name for name in more if name.split(".")[0] != "rnnedge_runtime"}
    assert not others & HEAVY
    assert len(others) < 50


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_licence_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    package = [name for name in names if not name.startswith("rnnedge_runtime-")]
    expected = {
        file.relative_to(SOURCE).as_posix()
        for file in (SOURCE / "rnnedge_runtime").rglob("*")
        if file.suffix == ".py" or file.name == "py.typed"
    }
    assert set(package) == expected
    assert "rnnedge_runtime/py.typed" in package
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_wheel_needs_numpy_and_onnxruntime_only(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
    lines = archive.read(name).decode().splitlines()
    needed = [line.split(": ")[1] for line in lines if line.startswith("Requires-Dist")]
    assert sorted(requirement.split("<")[0].split(">")[0] for requirement in needed) == [
        "numpy",
        "onnxruntime",
    ]


@pytest.mark.slow
def test_a_model_runs_where_neither_torch_nor_onnx_is_installed(device, tmp_path, lstm):
    x = lstm.signal(batch=2, frames=20)
    (tmp_path / "m.onnx").write_bytes(lstm.data)
    np.save(tmp_path / "x.npy", x)
    files = [tmp_path / name for name in ("m.onnx", "x.npy", "y.npy")]
    _run(device, "-I", "-c", _RUN_A_MODEL, *files)  # -I: not the checkout we stand in
    y = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(y, lstm.torch(x, torch.float64)["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_golden_file_is_asked_where_neither_torch_nor_onnx_is_installed(device, tmp_path):
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    # Beside the environment, not in it: other tests want it as it is.
    beside = tmp_path / "beside"
    install = ("-m", "pip", "install", "--quiet", "--prefer-binary", "--target", beside)
    _run(device, *install, "typer>=0.20,<1")
    _run(device, *install, "--no-deps", *tmp_path.glob("*.whl"))
    words = ("-P", "-m", "rnnedge", "verify")
    # As on a device: the checkout that this test stands in is out of the way.
    there = {"PYTHONPATH": str(beside)}
    absent = "import rnnedge; print(rnnedge.__file__); import {}"
    for name in ("torch", "onnx", "rnnedge_exporters", "sympy"):
        _run(device, "-P", "-c", absent.format(name), code=1, **there)
    assert str(beside) in _run(device, "-P", "-c", absent.format("sys"), **there)
    for aligned in ALL:
        file, golden = tmp_path / f"{aligned.name}.onnx", tmp_path / f"{aligned.name}.npz"
        file.write_bytes(aligned.file())
        assert rnnedge.verify(file, aligned.module, save_golden=golden).passed
        told = _run(device, *words, file, "--golden", golden, **there)
        assert told.startswith("parity: the same function")
    data = json.loads(_run(device, *words, file, "--golden", golden, "--json", **there))
    assert data["passed"]
    assert data["settings"]["golden"]["versions"]["torch"] == torch.__version__
    narrow = ("--golden", golden, "--allowed-ratio", 1e-6)
    assert "NOT the same function" in _run(device, *words, file, *narrow, code=1, **there)
    _run(device, *words, file, "--golden", tmp_path / "lookahead.npz", code=2, **there)
