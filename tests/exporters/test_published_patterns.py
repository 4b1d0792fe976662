"""What published networks are written with: each by the rule that lets it stream, or refuses it."""

import pytest
import torch
from blocks import Block
from chunked import stream
from rules import assert_streams, net, some_quick, streamed
from torch import nn
from torch.nn import functional

from rnnedge_exporters.capture import attributes, bind, capture, instead
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.specs import parse_inputs

SPECTRUM = "float32[batch, 4, time, 6]"
WHOLE = "mean and variance of the whole signal"


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize(("size", "n"), [(16, None), (15, None), (16, 12), (12, 16), (15, 14)])
def test_transforms_of_frames_are_torchs_own(size, n, norm):
    x = torch.randn(3, 5, size, 2, dtype=torch.float64)
    whole = torch.fft.rfft(x, n, 2, norm)
    torch.testing.assert_close(instead.rfft(x, n, 2, norm), whole)
    for length in (n, None, 9):
        torch.testing.assert_close(
            instead.irfft(whole, length, 2, norm), torch.fft.irfft(whole, length, 2, norm)
        )


@pytest.mark.parametrize(
    ("kernel", "dilation", "padding", "stride"),
    [((1, 3), 1, (0, 1), 1), (3, 2, 1, 1), ((2, 3), (1, 2), (1, 0), (2, 1)), (1, 1, 0, 1)],
)
def test_unfold_is_torchs_own(kernel, dilation, padding, stride):
    x = torch.randn(2, 3, 7, 8)
    for given in (x, x[0]):
        whole = functional.unfold(given, kernel, dilation, padding, stride)
        torch.testing.assert_close(instead.unfold(given, kernel, dilation, padding, stride), whole)


@pytest.mark.slow
def test_a_mask_on_the_transform_of_frames_streams():
    def masked(m, x):
        frames = functional.pad(x, (6, 0)).unfold(1, 8, 2)
        spectrum = torch.fft.rfft(frames)
        return torch.fft.irfft(spectrum * m.gru(spectrum.abs())[0], n=8)

    found = streamed(masked, "float32[batch, time]", gru=nn.GRU(5, 5, batch_first=True))
    assert (found.contract.chunk_multiple, found.delay) == (2, 0)
    assert_streams(found, shortest=2, tolerance=1e-6)


@pytest.mark.slow
def test_neighbouring_bands_by_unfold_stream_frame_by_frame():
    unfold = nn.Unfold((1, 3), padding=(0, 1))
    found = streamed(
        lambda m, x: unfold(x).reshape(x.shape[0], -1, x.shape[2], x.shape[3]), SPECTRUM
    )
    assert found.states == {}
    assert_streams(found)


@pytest.mark.slow
def test_unfold_over_time_keeps_a_context():
    def windows(m, x):
        past = functional.pad(x, (0, 0, 4, 0))
        return functional.unfold(past, (3, 1), dilation=(2, 1)).unflatten(2, (-1, 6))

    found = streamed(windows, SPECTRUM)
    assert [shape[2] for shape in found.states.values()] == [4]
    assert_streams(found)


@pytest.mark.slow
@pytest.mark.parametrize("equation", ["...i,ij->...j", "b...ti,ij->b...tj", "...i,...i->..."])
def test_the_time_of_an_einsum_may_be_in_its_ellipsis(equation):
    weight = torch.randn(6) if equation.endswith("...") else torch.randn(6, 6)
    assert_streams(
        streamed(lambda m, x: torch.einsum(equation, x, weight.to(x.dtype)), SPECTRUM),
        tolerance=1e-6,
    )


REFUSED = {
    "einsum over time": (
        lambda m, x: torch.einsum("...ti,ij->...j", x, torch.ones(6, 6)),
        "sums over",
        {},
    ),
    "einsum implicit": (
        lambda m, x: torch.einsum("b...i,ij", x, torch.ones(6, 6)),
        "without '->'",
        {},
    ),
    "rfft": (lambda m, x: torch.fft.rfft(x, dim=2).abs(), "rfft", {}),
    "irfft": (lambda m, x: torch.fft.irfft(x, n=8, dim=2), "irfft", {}),
    "group norm": (lambda m, x: m.norm(x), WHOLE, {"norm": nn.GroupNorm(2, 4)}),
    "instance norm": (lambda m, x: m.norm(x), WHOLE, {"norm": nn.InstanceNorm2d(4)}),
}


@pytest.mark.parametrize(
    ("compute", "reason", "parts"),
    some_quick(REFUSED, "einsum over time", "group norm"),
)
def test_what_sums_over_time_is_refused_by_its_reason(compute, reason, parts):
    with pytest.raises(StreamingError, match=reason):
        streamed(compute, SPECTRUM, **parts)


@pytest.mark.parametrize("name", ["mean", "sum"])
def test_the_way_out_of_what_sums_over_time_is_the_frames_so_far(name):
    with pytest.raises(StreamingError, match=f"{name} runs along time") as error:
        streamed(lambda m, x: x - getattr(x, name)((1, 2), keepdim=True), SPECTRUM)
    assert "torch.cumsum" in error.value.fix


@pytest.mark.slow
def test_group_norm_of_each_frame_streams():
    def normalised(m, x):
        frames = x.transpose(1, 2).flatten(0, 1)
        return m.norm(frames).unflatten(0, (x.shape[0], -1))

    assert_streams(streamed(normalised, SPECTRUM, norm=nn.GroupNorm(2, 4)))


class Rebuilt(nn.Linear):
    """Is built anew when it is copied, as einops' layers are."""

    def __setstate__(self, state):
        super().__setstate__(state)
        self.train()


def test_a_layer_that_is_built_anew_when_copied_stays_in_its_mode():
    module = net(lambda m, x: m.layer(x).relu(), layer=Rebuilt(6, 6)).eval()
    assert not attributes.copied(module).layer.training
    assert_streams(stream(module, "float32[batch, time, 6]"))


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
@pytest.mark.parametrize("loaded", [False, True])
def test_weights_that_hooks_compute_before_each_call_are_no_state(norm, loaded):
    def module():
        return Block("", lambda m, x: m.layer(x).tanh(), layer=norm(nn.Linear(6, 6))).eval()

    network, inputs = module(), parse_inputs({"x": "float32[batch, time, 6]"})
    if loaded:  # what the hook last computed is no longer what it would compute
        network.load_state_dict(module().state_dict())
    x = torch.randn(2, 5, 6)
    captured = capture(network, bind(network, inputs)).graph_module
    torch.testing.assert_close(captured(x)[0], network(x))
