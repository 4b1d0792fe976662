"""What the examples lose in int8, by their own measures, and the measures themselves."""

import numpy as np
import pytest
import torch

import rnnedge
from examples.denoiser.quality import si_sdr_db, si_sdr_lost
from examples.denoiser.train import si_sdr_db as si_sdr_of_training
from examples.silero_vad.data import make_scene
from examples.silero_vad.model import make_model
from examples.silero_vad.quality import agreement, decisions


def test_decisions_are_those_of_the_stream_with_its_pauses():
    probabilities = np.array([0.1, 0.6, 0.4, 0.1, 0.1, 0.9, *[0.1] * 8, 0.7])
    expected = [1, 2, 3, 4, 5, 14]
    assert np.flatnonzero(decisions(probabilities)).tolist() == expected


def test_agreement_counts_frames_and_not_probabilities():
    ours = np.array([[0.1] * 6 + [0.9] * 4])
    theirs = np.array([[0.2] * 6 + [0.6] * 4])
    assert agreement({"y": ours}, {"y": theirs}, {})["drop"] == 0
    theirs[0, 6] = 0.4
    found = agreement({"y": ours}, {"y": theirs}, {})
    assert (found["drop"], found["frames"]) == (pytest.approx(0.1), 10)


def test_si_sdr_is_that_of_training():
    clean, noise = np.random.default_rng(0).standard_normal((2, 3, 500))
    expected = si_sdr_of_training(torch.from_numpy(clean + noise), torch.from_numpy(clean))
    np.testing.assert_allclose(si_sdr_db(clean + noise, clean), expected)
    data = {"wave": clean + noise, "clean": clean}
    found = si_sdr_lost({"y": clean + 0.1 * noise}, {"y": clean + 0.2 * noise}, data)
    assert found["drop"] == pytest.approx(20 * np.log10(2), abs=0.3)


@pytest.mark.slow
def test_the_voice_detector_decides_alike_on_995_frames_of_1000(tmp_path):
    path = tmp_path / "vad.onnx"
    rnnedge.export(make_model(), path, inputs={"wave": "float32[batch, time]"}, verify=False)
    waves = [make_scene(seed, noise).wave for seed, noise in ((200, "fan"), (201, "babble"))]
    result = rnnedge.quantize(
        path,
        tmp_path / "int8.onnx",
        inputs={"wave": np.concatenate(waves)[None]},
        metric=agreement,
        max_drop=0.005,
        seconds=0,
    )
    assert result.passed
    assert result.float_bytes > 3 * result.bytes
