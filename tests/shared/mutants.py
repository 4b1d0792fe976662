"""Runs tests against changed copies of a package, each in a process forked from one that has torch.

Importing torch and tracing for the first time take longer than a test does. Standard input is a
JSON list of jobs: a folder that holds the copy, and the arguments of pytest. Standard output is a
JSON list of what came of each: pytest's exit code, and what it printed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from typing import Any

import onnxscript  # noqa: F401 - to have it loaded
import pytest
import torch
import torch.onnx._internal.exporter._registration
from hypothesis import Phase, settings
from torch import nn

Result = dict[str, Any]


def warm_up() -> None:
    """Traces once, so that the forked processes need not load the tracer.

    That a test fails is all that is asked: hypothesis need not look for the smallest example.
    """
    settings.register_profile("mutants", phases=[Phase.generate])
    settings.load_profile("mutants")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO}
        torch.export.export(nn.Conv1d(4, 4, 3), (torch.zeros(2, 4, 9),), dynamic_shapes=(shape,))


def run(folder: str, arguments: list[str]) -> Result:
    """What pytest says when the package is found in that folder."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                sys.path.insert(0, folder)
                code = int(pytest.main(arguments))
                sys.stdout.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "output": output.read()}


if __name__ == "__main__":
    warm_up()
    results = [run(job["folder"], job["arguments"]) for job in json.load(sys.stdin)]
    json.dump(results, sys.stdout)
