"""A module that is not the one of the file is told as such, not as an option of `export`."""

from __future__ import annotations

import pytest
from torch import nn

import rnnedge
from rnnedge.parity.fitting import MismatchError
from rnnedge_exporters import convert

X = {"x": "float32[batch, time, 6]"}


class Net(nn.Module):
    def __init__(self, width=6, hidden=4):
        super().__init__()
        self.gru = nn.GRU(width, hidden, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


class Renamed(Net):
    def forward(self, features):
        return super().forward(features)


class Pair(Net):
    def forward(self, x):
        y = super().forward(x)
        return y, y * 2


@pytest.fixture(scope="module")
def exported():
    return convert(Net(), X).to_bytes()


def refused(file, module):
    with pytest.raises(MismatchError) as error:
        rnnedge.verify(file, module)
    assert "--input" not in str(error.value)
    assert error.value.where == f"the file takes x: {X['x']}; made from {__name__}.Net"
    return error.value


def test_a_module_without_the_files_input_is_not_the_one_that_was_exported(exported):
    error = refused(exported, Renamed())
    assert error.what == (
        f"the module is not the one that the file was made from: it is {__name__}.Renamed: "
        "forward of Renamed has no argument 'x'"
    )
    assert error.fix == f"give the module that was exported, {__name__}.Net, to --against"


def test_the_same_class_of_another_size_is_told(exported):
    error = refused(exported, Net(width=9))
    assert error.what.startswith(
        f"the module does not fit the file, which was made from the same class {__name__}.Net: "
    )
    assert "Net.forward called with shapes {'x': [" in error.what
    assert error.fix == (
        "make it with the sizes that were exported (--arg for a factory's arguments)"
    )


def test_a_state_of_another_size_is_told(exported):
    assert "hidden size" in refused(exported, Net(hidden=5)).what


def test_a_module_with_other_outputs_is_not_the_one_that_was_exported(exported):
    error = refused(exported, Pair())
    assert error.what.endswith(
        "the file has the output 'output', and forward returns output_0, output_1"
    )


def test_what_the_caller_says_of_states_stays_the_callers(exported):
    with pytest.raises(rnnedge.RnnEdgeError) as error:
        rnnedge.verify(exported, Net(), states=["nonsense -> 1"])
    assert error.value.where.startswith("--state")
