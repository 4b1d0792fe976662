"""How far back gradients reach, where it is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from rnnedge.report.plot import check_plot, plot_lines
from rnnedge.zoo.gradients import EXPLODED, VANISHED, Reach, findings, reach_back
from rnnedge_runtime.errors import RnnEdgeError

UNITS, FRAMES = 6, 40


def turning(scale: float) -> nn.RNN:
    """A rotation times a number, at the origin, where tanh has the slope one."""
    layer = nn.RNN(1, UNITS, batch_first=True, bias=False).double()
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(UNITS, UNITS, dtype=torch.float64)).Q
    with torch.no_grad():
        layer.weight_hh_l0.copy_(scale * rotation)
    return layer


def measured(layer, x=None, state=None):
    x = torch.zeros(3, FRAMES, 1, dtype=torch.float64) if x is None else x
    return reach_back(layer, x, lambda last: (last * 2).sum(), state)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_the_norm_changes_at_the_recurrent_matrixs_spectral_rate(scale):
    reach = measured(turning(scale))
    expected = [2 * UNITS**0.5 * scale**k for k in range(FRAMES)]
    assert reach.norms == pytest.approx(expected, rel=1e-12)
    assert reach.rate == pytest.approx(scale)


def test_a_contracting_matrix_vanishes_and_an_expanding_one_explodes():
    calm, wild, steady = (measured(turning(scale)) for scale in (0.5, 1.5, 1.0))
    # 0.5^13 > 1e-4 > 0.5^14 and 1.5^11 < 100 < 1.5^12.
    assert (calm.vanishes_after, calm.explodes_after) == (14, None)
    assert (wild.vanishes_after, wild.explodes_after) == (None, 12)
    assert (steady.vanishes_after, steady.explodes_after) == (None, None)
    assert (VANISHED, EXPLODED) == (1e-4, 1e2)
    first, second = findings({"calm": calm, "wild": wild, "steady": steady})
    assert first == (
        "the gradient of calm vanishes: 14 frames back it is below 0.0001 of the last frame's "
        "(times 0.5 per frame)"
    )
    assert second.startswith("the gradient of wild explodes: 12 frames back it is above 100 times")


def test_a_gradient_that_comes_back_has_not_vanished():
    assert Reach((1.0, 1e-6, 1.0)).vanishes_after is None


def test_a_gradient_that_is_no_number_has_exploded():
    assert Reach((1.0, float("nan"))).explodes_after == 1


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_norms_are_those_of_autograd_for_the_state_at_that_frame(kind):
    torch.manual_seed(0)
    layer = kind(2, 4, 2, batch_first=True).double()
    x = torch.randn(1, 5, 2, dtype=torch.float64)
    for back in range(5):
        cut = 5 - back
        state = layer(x[:, :cut])[1]
        parts = [p.detach().requires_grad_() for p in (state if kind is nn.LSTM else (state,))]
        given = tuple(parts) if kind is nn.LSTM else parts[0]
        last = layer(x[:, cut:], given)[0][:, -1] if back else parts[0][-1]
        gradients = torch.autograd.grad((2 * last).sum(), parts, allow_unused=True)
        expected = sum(float(g.square().sum()) for g in gradients if g is not None) ** 0.5
        assert measured(layer, x).norms[back] == pytest.approx(expected, rel=1e-10)


@pytest.mark.slow
def test_a_plot_is_drawn(tmp_path: Path):
    path = tmp_path / "plot.png"
    plot_lines(path, {"a": [1, 0.1]}, title="t", across="x", up="y", marks={"low": 0.01})
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_plot_of_an_unknown_kind_is_refused():
    with pytest.raises(RnnEdgeError) as error:
        check_plot(Path("plot.txt"), option="--watch-gradients plot.txt")
    assert error.value.what == "a plot is a .png, .svg, .pdf file, got 'plot.txt'"


def test_without_matplotlib_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RnnEdgeError) as error:
        check_plot(Path("plot.png"), option="--watch-gradients plot.png")
    assert error.value.what == "drawing needs matplotlib, which is not installed"
    assert error.value.where == "--watch-gradients plot.png"
    assert error.value.fix == 'pip install "rnnedge[plot]"'
