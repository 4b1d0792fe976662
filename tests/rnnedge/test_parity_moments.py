"""At which moments, and at which lengths, the verifier asks its questions."""

import pytest
import torch
from torch import nn

import rnnedge
from rnnedge_exporters import convert

INPUTS = {"x": "float32[batch, time, 3]"}


def verified(module):
    return rnnedge.verify(convert(module, INPUTS).to_bytes(), module)


class Seldom(nn.Module):
    """Its context is heard where a ReLU lets it through: at few moments."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 1, 2)
        nn.init.constant_(self.conv.weight, 0.5)
        nn.init.constant_(self.conv.bias, -1.2)

    def forward(self, x):
        past = nn.functional.pad(x.transpose(1, 2), (1, 0))
        return self.conv(past).relu()


@pytest.mark.slow
def test_a_state_that_matters_at_few_moments_matters():
    report = verified(Seldom())
    assert report.passed
    assert "state conv.context matters" in [check.name for check in report.checks]


class Late(nn.Module):
    """Five frames of silence come before what the recurrence gives: the output is longer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return nn.functional.pad(self.gru(x)[0], (0, 0, 5, 0))


@pytest.mark.slow
def test_a_state_that_is_heard_after_a_while_matters():
    report = verified(Late())
    assert report.passed
    assert "state gru.h matters" in [check.name for check in report.checks]


class Pairs(nn.Module):
    """Takes whole pairs of frames only."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.gru(x.unflatten(1, (-1, 2)).sum(2))[0]


@pytest.mark.slow
def test_a_module_that_takes_whole_groups_of_frames_is_proven_at_these():
    report = verified(Pairs())
    assert report.passed
    assert "random chunks" in [check.name for check in report.checks]


@pytest.mark.slow
def test_a_length_that_forward_refuses_is_told():
    report = verified(Pairs())
    (told,) = [check for check in report.checks if check.name == "length that is no multiple"]
    assert "forward itself refuses a signal of" in told.detail
