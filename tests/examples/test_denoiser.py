"""The denoiser's whole-sequence model, data and committed weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from examples.denoiser.data import make_pair, make_pairs, make_speech
from examples.denoiser.model import BINS, N_FFT, core_weights, make_core, make_model
from examples.denoiser.train import WEIGHTS, gains_db, si_sdr_db, train
from examples.noise import NOISES


def trained_model():
    model = make_model()
    model.load_state_dict(load_file(WEIGHTS))
    return model.eval()


@torch.inference_mode()
def test_no_frame_of_the_core_depends_on_a_later_one():
    core = make_core().eval().double()
    spec = torch.randn(2, 40, BINS, 2, dtype=torch.float64)
    changed = spec.clone()
    changed[:, 25:] = torch.randn(2, 15, BINS, 2, dtype=torch.float64)
    before, after = core(spec), core(changed)
    assert torch.equal(before[:, :25], after[:, :25])
    assert not torch.equal(before[:, 25], after[:, 25])


@torch.inference_mode()
def test_the_waveform_model_looks_one_window_ahead_and_no_further():
    model = trained_model().double()
    wave = torch.randn(1, 8000, dtype=torch.float64)
    changed = wave.clone()
    changed[:, 4000:] += 1
    difference = (model(wave) - model(changed)).abs()[0]
    assert difference[: 4000 - N_FFT].max() == 0
    assert difference[4000 - N_FFT : 4000].max() > 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("samples", [800, 1599, 1601])
def test_the_output_is_as_long_as_the_input(samples):
    assert trained_model()(torch.randn(2, samples)).shape == (2, samples)


def test_the_core_takes_the_whole_models_weights():
    model, core = trained_model(), make_core()
    core.load_state_dict(core_weights(load_file(WEIGHTS)))
    spec = torch.randn(1, 5, BINS, 2)
    with torch.inference_mode():
        assert torch.equal(core.eval()(spec), model.core(spec))


def test_si_sdr_is_the_ratio_of_the_powers_whatever_the_scale():
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.standard_normal((1, 16000)))
    noise = torch.from_numpy(rng.standard_normal((1, 16000)))
    assert si_sdr_db(3 * (target + 0.1 * noise), target).item() == pytest.approx(20, abs=0.2)


def test_the_same_seed_gives_the_same_noisy_speech():
    def draw():
        return make_pairs(make_speech(3, 3), np.random.default_rng(3), 4, 0.5, (0.0, 5.0))

    first = draw()
    make_speech(4, 2)  # the synthesiser's own state must not show
    second = draw()
    assert np.array_equal(first.noisy, second.noisy)
    assert np.array_equal(first.clean, second.clean)


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_added_at_the_asked_ratio(kind):
    speech = make_speech(3, 3)
    noisy, clean = make_pair(speech, np.random.default_rng(1), 2.0, (6.0, 6.0), (kind,))
    ratio = np.mean(clean**2) / np.mean((noisy - clean) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(6.0, abs=0.01)


@pytest.mark.slow
def test_the_committed_weights_take_noise_away_from_unheard_voices():
    speech = make_speech(seed=5, count=12, test=True)
    gains = [gains_db(trained_model(), speech, kind, count=2)[1] for kind in NOISES]
    assert np.mean(gains) > 4.0


def test_the_committed_weights_are_small():
    assert WEIGHTS.stat().st_size < 500_000


@pytest.mark.long
def test_training_lowers_the_loss():
    torch.manual_seed(0)
    losses = train(make_model(), make_speech(0, 20), steps=30, batch=2)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
