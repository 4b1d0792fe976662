"""What all tests share."""

import functools
import os

import pytest

pytest_plugins = ["pytester"]

# Workers run side by side; threads of their own would only fight over the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# WebGPU also on a driver that computes on the processor: the only device with memory of its own on
# machines without a GPU. Read when its plugin is registered.
os.environ.setdefault("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1")


def pytest_addoption(parser):
    """The long runs; CONTRIBUTING.md says when."""
    parser.addoption("--long", action="store_true", help="run what is marked long, too")
    parser.addoption("--networks", type=int, default=16, help="how many random networks to try")
    parser.addoption("--all-mutations", action="store_true", help="try every mutation")


def pytest_collection_modifyitems(config, items):
    """What is marked long waits for ``--long``."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(autouse=True, scope="session")
def _torchlib_is_read_once():
    """For each export anew, torch has onnxscript parse the source of its 500 functions.

    What it finds is the same every time, and takes as long as the rest of a small export.
    """
    from torch.onnx._internal.exporter import _registration as registration

    apis = registration.onnxscript_apis
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apis, "get_torchlib_ops", functools.cache(apis.get_torchlib_ops))
        yield
