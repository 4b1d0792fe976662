"""The keyword detector's model, data, decisions and committed weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from examples.keyword.data import (
    HOP,
    IGNORE,
    WINDOW,
    Recording,
    log_mel,
    make_bank,
    make_labels,
    make_recording,
)
from examples.keyword.model import CLASSES, MELS, LocalAttention, make_model
from examples.keyword.train import (
    WEIGHTS,
    LinearBaseline,
    detect,
    judge,
    make_batches,
    scores_of,
    threshold_for,
    train,
)


def trained_model():
    model = make_model()
    model.load_state_dict(load_file(WEIGHTS))
    return model.eval()


@torch.inference_mode()
def test_no_frame_depends_on_a_later_one():
    model = trained_model().double()
    x = torch.randn(2, 120, MELS, dtype=torch.float64)
    changed = x.clone()
    changed[:, 80:] += 1
    before, after = model(x), model(changed)
    torch.testing.assert_close(before[:, :80], after[:, :80], rtol=0, atol=1e-12)
    assert (before[:, 80] - after[:, 80]).abs().max() > 1e-3


@torch.inference_mode()
def test_attention_reaches_window_frames_back_and_no_further():
    attention = LocalAttention(channels=8, heads=2, window=5).double()
    x = torch.randn(1, 30, 8, dtype=torch.float64)
    changed = x.clone()
    changed[:, 10] += 1
    difference = (attention(x) - attention(changed)).abs().amax((0, 2))
    assert set(torch.nonzero(difference > 1e-9).flatten().tolist()) == {10, 11, 12, 13, 14}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_recordings():
    def draw():
        return make_recording(make_bank(3, 2), np.random.default_rng(3), 4.0)

    first, again = draw(), draw()
    assert np.array_equal(first.wave, again.wave)
    assert first.words == again.words


def test_a_keyword_is_labelled_around_its_end():
    recording = Recording(np.zeros(16000, np.float32), [(3, 20 * HOP, 30 * HOP)])
    labels = make_labels(recording)
    assert set(labels[:20]) == {0}
    assert set(labels[20:25]) == {IGNORE}
    assert set(labels[25:40]) == {3}
    assert set(labels[40:]) == {0}


def test_log_mel_frames_start_every_hop_and_need_nothing_else():
    wave = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    whole = log_mel(wave)
    assert whole.shape == (1 + (4000 - WINDOW) // HOP, MELS)
    np.testing.assert_array_equal(whole[3], log_mel(wave[3 * HOP : 3 * HOP + WINDOW])[0])


def test_a_detection_takes_the_best_class_and_silences_the_next_half_second():
    scores = np.zeros((100, len(CLASSES)), np.float32)
    scores[20, 2], scores[22, 4], scores[30, 5], scores[60, 1] = 0.6, 0.9, 0.9, 0.7
    assert detect(scores, 0.5) == [(20, 4), (60, 1)]


def test_a_wrong_class_is_a_false_alarm_and_a_miss():
    recording = Recording(np.zeros(0, np.float32), [(1, 0, 10 * HOP), (2, 90 * HOP, 95 * HOP)])
    scores = np.zeros((3600 * 50, len(CLASSES)), np.float32)
    scores[10, 1] = scores[96, 3] = 1.0
    assert judge([(recording, scores)], 0.5) == (0.5, 1.0)


@pytest.mark.slow
def test_the_committed_weights_beat_a_linear_layer_on_unheard_voices():
    torch.manual_seed(0)
    baseline = LinearBaseline()
    mels, labels = make_batches(make_bank(1, 6), seed=1, count=40, seconds=8.0)
    train(baseline, mels, labels, steps=60)
    bank = make_bank(seed=9, count=4, test=True)
    rng = np.random.default_rng(9)
    recordings = [make_recording(bank, rng, 10.0) for _ in range(12)]

    def accuracy(model):
        pairs = [(recording, scores_of(model, recording)) for recording in recordings]
        return judge(pairs, threshold_for(pairs, alarms_per_hour=120.0))[0]

    assert accuracy(trained_model()) > 0.5 > accuracy(baseline) + 0.2


def test_the_committed_weights_are_small():
    assert WEIGHTS.stat().st_size < 500_000


@pytest.mark.long
def test_training_lowers_the_loss():
    torch.manual_seed(0)
    mels, labels = make_batches(make_bank(0, 4), seed=0, count=24, seconds=6.0)
    with torch.no_grad():
        logits = make_model()(mels).transpose(1, 2)
        before = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE).item()
    assert train(make_model(), mels, labels, steps=60, batch=8) < 0.5 * before
