"""The tests of the streaming passes notice small mistakes in them.

Each mistake is made in a copy of the package, against which the pass's own tests are run.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutations import MUTATIONS

import rnnedge_exporters
import rnnedge_runtime

PACKAGE = Path(rnnedge_exporters.__file__).parent
TESTS = Path(__file__).parent


def run_tests(package, name):
    """Exit code and output of the tests of a pass against a copy of the package."""
    folders = [package.parent, Path(rnnedge_runtime.__file__).parents[1]]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    file = TESTS / f"test_{name}.py"
    options = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "--no-header"]
    command = [sys.executable, "-m", "pytest", *options, str(file)]
    done = subprocess.run(
        command,
        cwd=TESTS.parents[1],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def package(tmp_path):
    target = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[m.mistake for m in MUTATIONS])
def test_a_mistake_is_noticed(package, mutation):
    file = package / mutation.file
    source = file.read_text()
    assert source.count(mutation.old) == 1, "the source has changed: follow it in mutations.py"
    file.write_text(source.replace(mutation.old, mutation.new))
    code, output = run_tests(package, mutation.tests)
    # 1: tests ran, and one failed. Anything else would be no proof.
    assert code == 1, output


@pytest.mark.slow
def test_without_a_mistake_the_copy_passes(package):
    code, output = run_tests(package, "padding")
    assert code == 0, output


def test_each_mistake_is_in_the_source_once():
    for mutation in MUTATIONS:
        source = (PACKAGE / mutation.file).read_text()
        assert source.count(mutation.old) == 1, mutation.mistake
