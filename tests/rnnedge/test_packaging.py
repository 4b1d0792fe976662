"""What the three distributions hold, and what they ask for."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"rnnedge": ".", "rnnedge_exporters": "exporters", "rnnedge_runtime": "runtime"}
DEPENDENCIES = {
    "rnnedge": {"rnnedge-runtime", "numpy", "onnx", "rich", "soundfile", "sympy", "typer"},
    "rnnedge_exporters": {
        "rnnedge-runtime", "numpy", "onnx", "onnx-ir", "onnxscript", "safetensors", "torch",
    },
    "rnnedge_runtime": {"numpy", "onnxruntime"},
}  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=sorted(FOLDERS))
def package(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def wheel(package, tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp(package)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*build, str(ROOT / FOLDERS[package])], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    (path,) = folder.glob("*.whl")
    assert path.name.startswith(f"{package}-")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_a_wheel_holds_its_package_and_nothing_else(wheel, package) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {package}
    suffixes = {Path(name).suffix for name in wheel.namelist() if name.startswith(package + "/")}
    assert suffixes <= {".py", ".typed"}
    assert not [name for name in wheel.namelist() if re.search(r"tests?/|__pycache__", name)]


def test_every_module_in_the_tree_is_in_the_wheel(wheel, package) -> None:
    folder = ROOT / FOLDERS[package]
    ours = {path.relative_to(folder).as_posix() for path in (folder / package).rglob("*.py")}
    assert ours <= set(wheel.namelist())


def test_a_wheel_says_that_it_is_typed_and_carries_its_licence(wheel, package) -> None:
    assert f"{package}/py.typed" in wheel.namelist()
    (name,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
    assert b"Apache License" in wheel.read(name)


def test_a_wheel_asks_for_exactly_what_it_imports(metadata, package) -> None:
    required = {
        re.match(r"[\w-]+", text)[0]
        for text in metadata.get_all("Requires-Dist")
        if "extra ==" not in text
    }
    assert required == DEPENDENCIES[package]


def test_the_three_are_released_together(metadata) -> None:
    version = metadata["Version"]
    siblings = [text for text in metadata.get_all("Requires-Dist") if text.startswith("rnnedge")]
    assert all(text.partition(";")[0].strip().endswith(f"=={version}") for text in siblings)


def test_only_rnnedge_brings_a_command_and_extras(wheel, metadata, package) -> None:
    entries = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    if package != "rnnedge":
        assert (entries, metadata.get_all("Provides-Extra")) == ([], None)
        return
    told = wheel.read(entries[0]).decode()
    assert "rnnedge = rnnedge.cli:main" in told
    assert "[pytest11]\nrnnedge = rnnedge.testing.plugin" in told
    assert metadata.get_all("Provides-Extra") == ["draw", "export", "plot"]
    assert any(
        text.startswith("rnnedge-exporters==") and "extra == 'export'" in text
        for text in metadata.get_all("Requires-Dist")
    )
