"""The language model in int8: trained as the demo does it, and what int8 costs it."""

import numpy as np
import pytest

import rnnedge
from rnnedge.zoo.char_lm.quality import save_validation


@pytest.mark.long
def test_the_language_model_loses_at_most_002_bits_per_character(call, own_folder):
    assert call("train", "char-lm", "--output", "lm.safetensors").code == 0
    module = rnnedge.zoo.char_lm.from_checkpoint("lm.safetensors")
    inputs = {"tokens": "int64[batch, time]"}
    rnnedge.export(module, "lm.onnx", inputs=inputs, verify=False)
    save_validation(own_folder / "lm.onnx", own_folder / "tokens.npz")
    data = dict(np.load("tokens.npz"))
    result = rnnedge.quantize(
        "lm.onnx",
        "lm.int8.onnx",
        inputs={"tokens": data["tokens"]},
        data=data,
        metric="rnnedge.zoo.char_lm.quality:bits_per_character",
        max_drop=0.02,
        seconds=0,
    )
    assert result.passed
    assert result.sensitivity is None, "no layer had to stay in float"
    assert result.float_bytes > 3.5 * result.bytes
