"""`import rnnedge`: every public name, each imported when it is first used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import rnnedge


@pytest.mark.parametrize("name", rnnedge.__all__)
def test_every_public_name_can_be_had(name) -> None:
    assert getattr(rnnedge, name) is not None
    assert name in dir(rnnedge)


def test_the_names_are_those_of_the_packages_below() -> None:
    import rnnedge.pipeline
    import rnnedge_runtime

    assert rnnedge.load is rnnedge_runtime.load
    assert rnnedge.export is rnnedge.pipeline.export
    assert rnnedge.__version__ == version("rnnedge")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rnnedge' has no attribute 'nonsense'"):
        _ = rnnedge.nonsense


def in_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_importing_rnnedge_imports_nothing_heavy() -> None:
    heavy = "('torch', 'onnx', 'onnxruntime', 'numpy')"
    assert (
        in_python(f"import sys, rnnedge; print([m for m in {heavy} if m in sys.modules])") == "[]"
    )


def test_loading_and_streaming_need_no_torch(gru_file) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "import numpy, rnnedge\n"
        f"stream = rnnedge.load({str(gru_file)!r}).stream()\n"
        "print(stream.push(numpy.zeros((1, 2, 3), 'float32')).shape)"
    )
    assert in_python(code) == "(1, 2, 4)"


@pytest.mark.parametrize("name", ["export", "verify"])
def test_without_torch_the_exporters_names_say_what_to_install(name) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import rnnedge\n"
        f"try: rnnedge.{name}\n"
        "except rnnedge.RnnEdgeError as error: print(error.fix)"
    )
    assert in_python(code) == 'pip install "rnnedge[export]"'
