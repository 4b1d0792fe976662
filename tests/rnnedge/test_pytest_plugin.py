"""The fixture, in a pytest of its own: what passes, what fails, and what a reader is told."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import judged_models as judged
import pytest

from rnnedge.parity.options import OptionError
from rnnedge.testing import ParityError, assert_parity

ROOT = Path(__file__).parents[2]
PLUGIN = ("-p", "no:rnnedge", "-p", "rnnedge.testing.plugin", "-p", "no:cacheprovider")
"""Loaded by name, so that the tree's is tried and not what happens to be installed."""


@pytest.fixture(scope="module")
def all_imported():
    """A pytest inside this one forgets what is first imported in it, and torch takes that ill."""
    assert_parity(judged.Net(), inputs=judged.INPUTS)


@pytest.fixture
def project(pytester, monkeypatch, all_imported):
    """A user's project with a model file and a test; gives what its run says."""
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))

    def run(body, *words, file=None, alone=False, conftest=""):
        if file is not None:
            (pytester.path / "net.onnx").write_bytes(file)
        pytester.makeconftest(conftest)
        pytester.makepyfile(test_net=f"import judged_models\n\n{body}")
        runner = pytester.runpytest_subprocess if alone else pytester.runpytest_inprocess
        return runner(*PLUGIN, *words)

    return run


@pytest.mark.slow
def test_a_module_passes_and_its_verdict_is_a_property_of_the_test(project, pytester):
    result = project(
        """
        def test_net(rnnedge_parity):
            (report,) = rnnedge_parity(
                judged_models.Net(), inputs=judged_models.INPUTS, chunks=[4, (7, 0, 3)]
            )
            assert "pushes of 4 frames" in str(report)
        """.replace("\n        ", "\n"),
        "--junitxml=out.xml",
    )
    result.assert_outcomes(passed=1)
    told = (pytester.path / "out.xml").read_text()
    assert '<property name="rnnedge_parity" value="passed on CPUExecutionProvider" />' in told
    result.stdout.no_fnmatch_line("*rnnedge parity*")


ON_FILE = """
def test_net(rnnedge_parity):
    rnnedge_parity(judged_models.Net(), file="net.onnx")
"""


@pytest.mark.slow
def test_a_committed_file_passes(project):
    project(ON_FILE, file=judged.right()).assert_outcomes(passed=1)
    project(ON_FILE, file=judged.whole()).assert_outcomes(passed=1)


def test_wrong_weights_fail_and_it_is_told_where_and_how_far(project):
    body = ON_FILE.replace("judged_models.Net", "judged_models.other_weights")
    result = project(body, file=judged.right())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E * net.onnx is not the same function as Net: * of * checks failed",
            "E  *FAILED whole sequence",
            "E  *output: error 1.0e-04, allowed *e-0? (PyTorch's own *e-0?)",
            "E  *first at row 0 of *, frame 0, axis 2 = 1; largest at row *",
            "E  *passed: *state rnn.h matters, state rnn.c matters*",
            "E  *each for batches of 1, 2, 5, 8 and 37 frames, seed 0, on CPUExecutionProvider",
        ]
    )
    # Ours is not what a reader wants to see.
    result.stdout.no_fnmatch_line("*assertion.py:*")


@pytest.mark.slow
def test_a_state_that_was_left_out_fails_from_the_second_frame_on(project):
    result = project(ON_FILE, file=judged.without_cell())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E  *FAILED one frame at a time",
            "E  *output: error *, allowed *",
            "E  *first at row 0 of *, frame 1, axis 2 = *",
            "E  *passed: whole sequence, *",
        ]
    )


@pytest.mark.slow
def test_the_first_tensor_that_differs_is_named_if_asked(project):
    with pytest.raises(ParityError):  # see `all_imported`
        assert_parity(judged.other_weights(), file=judged.right(), explain=True)
    body = ON_FILE.replace("judged_models.Net", "judged_models.other_weights")
    result = project(body.replace('"net.onnx"', '"net.onnx", explain=True'), file=judged.right())
    result.stdout.fnmatch_lines(
        [
            "E  *the file differs from the module first in 'output'*",
            "E  *initializer out.bias differs from the module's by up to 0.0001*",
        ]
    )
    result.stdout.no_fnmatch_line("*torch.__trace*")


@pytest.mark.slow
def test_another_yardstick_is_told_even_if_the_test_passes(project):
    body = """
def test_wide(rnnedge_parity):
    rnnedge_parity(judged_models.other_weights(), file="net.onnx", allowed_ratio=1e4)

def test_usual(rnnedge_parity):
    rnnedge_parity(judged_models.Net(), file="net.onnx", allowed_ratio=4)
"""
    result = project(body, file=judged.right())
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*= rnnedge parity =*", "test_net.py::test_wide: allowed are 10000 times PyTorch's own *"]
    )
    result.stdout.no_fnmatch_line("test_net.py::test_usual: *")


@pytest.mark.slow
def test_a_provider_that_is_absent_is_an_error_and_nothing_is_skipped(project):
    body = ON_FILE.replace('"net.onnx"', '"net.onnx", providers=["cpu", "cuda"]')
    result = project(body, file=judged.right())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E  *ProviderError: *"])


@pytest.mark.slow
def test_without_torch_the_fixture_says_what_to_install(project):
    conftest = "import sys\nsys.modules['torch'] = None"
    body = "def test_net(rnnedge_parity):\n    pass\n\ndef test_other():\n    pass\n"
    result = project(
        body.strip(), alone=True, conftest=conftest + "\nsys.modules['judged_models'] = sys"
    )
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "E  *RnnEdgeError: the exporters are not installed (no module 'torch')",
            "*where: fixture rnnedge_parity",
            '*fix: pip install "rnnedge?export?"',
        ]
    )
    result.stdout.no_fnmatch_line("*ModuleNotFoundError*")


def test_a_project_that_does_not_use_it_pays_for_three_small_modules():
    code = (
        "import pytest, sys\n"
        "before = set(sys.modules)\n"
        "import rnnedge.testing.plugin\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - sys.stdlib_module_names), len(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    package, count = done.stdout.split()
    assert package == "rnnedge"
    assert int(count) <= 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "neither inputs nor a file are given"),
        ({"file": b"", "providers": []}, "no provider is named, so nothing would be judged"),
    ],
)
def test_an_assertion_that_would_assert_nothing_is_refused(options, said):
    with pytest.raises(OptionError, match=said):
        assert_parity(judged.Net(), **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"inputs": {"x": "float32[batch, time, 4]"}},
            r"the file takes x: float32\[batch, time, 3\], the test says x: float32\[.* 4\]",
        ),
        ({"mode": "sequence"}, "the file is of mode 'stream', the test says 'sequence'"),
    ],
)
def test_a_file_that_is_not_what_the_test_says_fails(options, said):
    with pytest.raises(ParityError, match=said):
        assert_parity(judged.Net(), file=judged.right(), **options)


def test_a_file_that_is_what_the_test_says_is_judged():
    (report,) = assert_parity(
        judged.Net(), file=judged.right(), inputs=["x: float32[batch, time, 3]"], mode="stream",
        providers="cpu", batches=[3], seed=4,
    )  # fmt: skip
    assert report.passed
    assert report.settings["batches"] == [1, 2, 3, 5, 8]
    assert report.settings["seed"] == 4


def test_a_failure_carries_the_reports_of_all_providers():
    with pytest.raises(ParityError) as raised:
        assert_parity(judged.other_weights(), file=judged.right(), providers=["cpu", "cpu"])
    assert [report.passed for report in raised.value.reports] == [False, False]


@pytest.mark.slow
def test_the_mode_is_that_of_the_export():
    (report,) = assert_parity(judged.Net(), inputs=judged.INPUTS, mode="sequence")
    assert [check.name for check in report.checks] == ["whole sequence"]


@pytest.mark.slow
def test_pytest_finds_the_plugin_by_itself_where_rnnedge_is_installed(tmp_path):
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    subprocess.run([sys.executable, *map(str, build)], capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    # pytest itself, and all that it needs, is this environment's.
    venv.create(tmp_path / "user", with_pip=False)
    python = tmp_path / "user" / "bin" / "python"
    install = ("-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel)
    subprocess.run([sys.executable, *map(str, install)], capture_output=True, check=True)
    packages = Path(pytest.__file__).parents[1]
    (tmp_path / "test_user.py").write_text("def test_it(rnnedge_parity):\n    pass\n")
    code = (
        f"import sys; sys.path.append({str(packages)!r}); sys.modules['torch'] = None\n"
        "import pytest; pytest.main(['--fixtures', '-p', 'no:cacheprovider', 'test_user.py'])"
    )
    done = subprocess.run(
        [python, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "rnnedge_parity -- " in done.stdout, done.stdout + done.stderr
