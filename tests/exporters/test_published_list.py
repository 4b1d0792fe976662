"""docs/published.md: what it lists is what the runner tries, and three of it are tried here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "benchmarks" / "published"
DOCS = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(PUBLISHED / "run.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def listed():
    """Names and sources, as the runner has them."""
    result = run("--list")
    assert result.returncode == 0, result.stderr
    return [tuple(line.split("\t")) for line in result.stdout.splitlines()]


def test_the_docs_list_is_that_of_the_runner(listed):
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", DOCS, re.MULTILINE)
    assert sorted(rows) == sorted(listed)


def test_every_paper_is_among_the_references(listed):
    packages = (PUBLISHED / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for _, source in listed:
        is_package = source.replace(" ", "==") in packages
        assert is_package or f"* **{source}**: " in DOCS, source


@pytest.mark.long
@pytest.mark.parametrize("name", ["gtcrn", "conv-tasnet-causal", "deepfilternet"])
def test_a_published_architecture_is_proven_by_the_runner(name):
    result = run(name)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 stream, 0 refused" in result.stderr, result.stdout


def test_a_network_that_is_not_there_is_an_error():
    result = run("none-such")
    assert result.returncode == 2
    assert "no network ['none-such']" in result.stderr
