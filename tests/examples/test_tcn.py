"""The gesture network's model, data and committed weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from examples.tcn.data import make_signals
from examples.tcn.model import CLASSES, make_model
from examples.tcn.train import WEIGHTS, WINDOW, WindowStatistics, f1, predict, train


def trained_model():
    model = make_model()
    model.load_state_dict(load_file(WEIGHTS))
    return model.eval()


@torch.inference_mode()
def test_no_frame_depends_on_a_later_one():
    model = trained_model().double()
    x = torch.randn(2, 300, 3, dtype=torch.float64)
    changed = x.clone()
    changed[:, 200:] += 1
    before, after = model(x), model(changed)
    assert torch.equal(before[:, :200], after[:, :200])
    assert not torch.equal(before[:, 200], after[:, 200])


@torch.inference_mode()
def test_the_baseline_is_statistics_of_the_last_window():
    x = np.random.default_rng(0).normal(size=(1, 100, 3)).astype(np.float32)
    features = []
    baseline = WindowStatistics().eval()
    baseline.norm.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    baseline(torch.from_numpy(x))
    window = x[0, 80 - WINDOW + 1 : 81]
    corners = np.corrcoef(window.T)
    change = np.sqrt(np.mean(np.diff(x[0, 80 - WINDOW : 81], axis=0) ** 2, axis=0))
    expected = [window.mean(0), window.std(0), [corners[0, 1], corners[0, 2], corners[1, 2]]]
    expected += [window.max(0), window.min(0), change, x[0, 80]]
    np.testing.assert_allclose(features[0][0, :, 80], np.concatenate(expected), atol=1e-4)


def test_the_same_seed_gives_the_same_signals():
    first, again, other = make_signals(3, 2), make_signals(3, 2), make_signals(4, 2)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_every_gesture_occurs():
    assert set(np.unique(make_signals(0, 10)[1])) == set(range(len(CLASSES)))


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    labels = np.array([1, 1, 1, 1, 0, 0])
    predicted = np.array([1, 1, 0, 0, 1, 0])
    precision, recall = 2 / 3, 2 / 4
    expected = 2 * precision * recall / (precision + recall)
    assert f1(predicted, labels)[1] == pytest.approx(expected)


@pytest.mark.slow
def test_the_committed_weights_beat_statistics_of_a_window():
    signals, labels = make_signals(seed=77, count=10)
    baseline = WindowStatistics()
    train(baseline, steps=60, count=40)
    ours = f1(predict(trained_model(), signals), labels)[1:].mean()
    theirs = f1(predict(baseline, signals), labels)[1:].mean()
    assert ours > 0.85 > theirs + 0.4


def test_the_committed_weights_are_small():
    assert WEIGHTS.stat().st_size < 500_000


@pytest.mark.slow
def test_training_lowers_the_loss():
    torch.manual_seed(0)
    losses = train(make_model(), steps=40, count=20, batch=4)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
