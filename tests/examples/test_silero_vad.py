"""Silero's detector, rebuilt and streamed, beside the files and the code of its package."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from silero_vad.utils_vad import get_speech_timestamps_from_probs

import rnnedge
from examples.silero_vad.data import make_scene
from examples.silero_vad.model import FRAME, SileroVad, make_model
from examples.silero_vad.stream import FRAME_S, listen, original, picture, spans
from examples.silero_vad.weights import ONNX, SAFETENSORS, data_file, name_in, read_weights
from examples.speech import SAMPLE_RATE


@pytest.fixture(scope="module", params=[pytest.param(SAFETENSORS, marks=pytest.mark.slow), ONNX])
def weights(request):
    return request.param


@pytest.fixture(scope="module")
def model(weights, tmp_path_factory):
    """The exported file, proven equal to the rebuilt network."""
    path = tmp_path_factory.mktemp("vad") / "vad.onnx"
    rnnedge.export(make_model(weights), path, inputs={"wave": "float32[batch, time]"})
    return rnnedge.load(path)


@pytest.fixture(scope="module")
def published(weights, tmp_path_factory):
    """The package's ONNX file; its safetensors weights have to be put into it."""
    if weights == ONNX:
        return data_file("silero_vad.onnx")
    file, tensors = onnx.load(data_file(ONNX)), read_weights(weights)
    constants = {constant.name: constant for constant in file.graph.initializer}
    for name in SileroVad().state_dict():
        constant = constants[name_in(ONNX, name)]
        tensor = tensors[name_in(weights, name)].numpy()
        assert tensor.shape == tuple(constant.dims)
        constant.CopyFrom(onnx.numpy_helper.from_array(tensor, constant.name))
    path = tmp_path_factory.mktemp("published") / "published.onnx"
    onnx.save(file, path)
    return path


@pytest.mark.parametrize(("seed", "noise"), [(3, "fan"), (4, "clicks"), (5, "coloured")])
@pytest.mark.slow
def test_speech_gives_what_the_package_gives_frame_by_frame(model, published, seed, noise):
    wave = make_scene(seed, noise).wave
    expected = original(wave, published)
    assert np.ptp(expected) > 0.9
    np.testing.assert_allclose(list(listen(model, wave, [])), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("samples", [160, 500, 1500, 40_000])
@pytest.mark.slow
def test_pushes_of_any_length_give_what_the_package_gives(model, published, samples):
    wave = make_scene(seed=6).wave
    stream = model.stream()
    pushed = [stream.push(wave[None, i : i + samples]) for i in range(0, len(wave), samples)]
    got = np.concatenate([*pushed, stream.flush()], axis=1)[0]
    np.testing.assert_allclose(got, original(wave, published), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_states_are_the_context_and_the_lstms(model):
    states = [(state.name, state.shape) for state in model.contract.states]
    assert states == [
        ("unfold.context", ("batch", 64)),
        ("lstm.h", (1, "batch", 128)),
        ("lstm.c", (1, "batch", 128)),
    ]


@pytest.mark.slow
def test_sentences_are_heard_when_they_are_spoken(model):
    scene = make_scene(seed=3)
    heard = list(spans(listen(model, scene.wave, [])))
    seconds = np.array(heard) * FRAME_S
    np.testing.assert_allclose(seconds, np.array(scene.spoken) / SAMPLE_RATE, rtol=0, atol=0.2)


def test_the_package_holds_weights_of_two_trainings():
    safetensors, others = make_model(SAFETENSORS).state_dict(), make_model(ONNX).state_dict()
    equal = [name for name, tensor in safetensors.items() if tensor.equal(others[name])]
    assert equal == ["stft.weight"]


@given(st.lists(st.sampled_from([0.0, 0.34, 0.35, 0.4, 0.499, 0.5, 0.9]), max_size=60))
def test_speech_begins_and_ends_where_the_package_says(probabilities):
    found = get_speech_timestamps_from_probs(
        probabilities, min_speech_duration_ms=0, speech_pad_ms=0
    )
    expected = [(span["start"] // FRAME, span["end"] // FRAME) for span in found]
    assert list(spans(probabilities)) == expected


def test_a_span_is_known_as_soon_as_its_pause_is_long_enough():
    seen = []
    probabilities = (seen.append(p) or p for p in [0.0, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9])
    assert next(spans(probabilities)) == (1, 3)
    assert len(seen) == 8


@pytest.mark.parametrize("ending", ["png", "svg"])
@pytest.mark.slow
def test_the_timeline_shows_what_was_heard(tmp_path, ending):
    wave, drawn = make_scene(seed=3).wave, []
    for heard in ([], [(1.0, 2.0)], [(1.0, 3.0)]):
        path = tmp_path / f"{len(drawn)}.{ending}"
        picture(wave, [0.2] * (len(wave) // FRAME), heard, [(1.0, 2.0)], path)
        drawn.append(path.read_bytes())
    assert len(set(drawn)) == 3
