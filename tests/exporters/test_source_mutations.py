"""The tests of the streaming passes notice small mistakes in them.

Each mistake is made in a copy of the package, against which the pass's own tests are run: of some
mistakes the tests that are to notice them, of all with ``--all-mutations`` every test of the pass.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mutants
import pytest
from mutations import MUTATIONS

import rnnedge_exporters
import rnnedge_runtime

PACKAGE = Path(rnnedge_exporters.__file__).parent
TESTS = Path(__file__).parent
PARTS = 2
"""Of about the same length, for as many workers."""


def run_tests(jobs):
    """What comes of tests of copies of the package: exit code and output of each."""
    path = os.pathsep.join([str(Path(rnnedge_runtime.__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, mutants.__file__],
        input=json.dumps(jobs),
        cwd=TESTS.parents[1],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def job(folder, tests, expression=""):
    options = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "--no-header"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is loaded already
    chosen = ["-k", expression] if expression else []
    file = TESTS / f"test_{tests}.py"
    return {"folder": str(folder), "arguments": [*options, *chosen, str(file)]}


def copied(folder):
    target = folder / PACKAGE.name
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def mutated(folder, mutation):
    """A copy of the package with that mistake."""
    file = copied(folder) / mutation.file
    file.write_text(file.read_text().replace(mutation.old, mutation.new))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, PARTS))]
)
def test_a_mistake_is_noticed(tmp_path, pytestconfig, part):
    everything = pytestconfig.getoption("--all-mutations")
    tried = [m for m in MUTATIONS if m.quick or everything][part::PARTS]
    folders = [mutated(tmp_path / str(n), mutation) for n, mutation in enumerate(tried)]
    jobs = [
        job(folder, mutation.tests, "" if everything else mutation.quick)
        for folder, mutation in zip(folders, tried, strict=True)
    ]
    results = run_tests(jobs)
    # 1: tests ran, and one failed. Anything else would be no proof.
    unnoticed = [m.mistake for m, r in zip(tried, results, strict=True) if r["code"] != 1]
    assert not unnoticed, [r["output"] for r in results if r["code"] != 1]


@pytest.mark.slow
def test_without_a_mistake_the_copy_passes(tmp_path):
    copied(tmp_path)
    expression = " or ".join(m.quick for m in MUTATIONS if m.quick and m.tests == "padding")
    (result,) = run_tests([job(tmp_path, "padding", expression)])
    assert result["code"] == 0, result["output"]


def test_each_mistake_is_in_the_source_once():
    for mutation in MUTATIONS:
        source = (PACKAGE / mutation.file).read_text()
        assert source.count(mutation.old) == 1, mutation.mistake
