"""Synthesised speech."""

import numpy as np
import pytest

from examples.speech import LANGUAGES, SAMPLE_RATE, TEST_VARIANTS, TRAIN_VARIANTS, Voice, say


@pytest.mark.parametrize("variant", [*TRAIN_VARIANTS, *TEST_VARIANTS])
def test_every_voice_says_a_word_in_about_its_time(variant):
    wave = say("elephant", Voice(f"en-us+{variant}", 150, 50, 50))
    assert wave.dtype == np.float32
    assert 0.25 < len(wave) / SAMPLE_RATE < 1.5
    assert np.abs(wave).max() == pytest.approx(0.5)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_reads_the_word_in_its_own_way(language):
    wave = say("elephant", Voice(f"{language}+m1", 150, 50, 50))
    assert 0.25 < len(wave) / SAMPLE_RATE < 1.5


def test_what_was_said_before_leaves_no_trace():
    voice = Voice("en-us+f2", 160, 40, 60)
    first = say("the same again", voice)
    say("something else", Voice("de+m2", 120, 70, 20))
    assert np.array_equal(first, say("the same again", voice))


def test_training_and_test_share_no_voice():
    assert not set(TRAIN_VARIANTS) & set(TEST_VARIANTS)


def test_pitch_moves_the_fundamental():
    def fundamental_hz(pitch):
        wave = say("aaah", Voice("en-us+m2", 120, pitch, 0))[:6000]
        echo = np.correlate(wave, wave, "full")[len(wave) - 1 :]
        return SAMPLE_RATE / (40 + echo[40:300].argmax())

    assert fundamental_hz(80) > 1.2 * fundamental_hz(20)


def test_an_unknown_voice_is_refused():
    with pytest.raises(RuntimeError, match="eSpeak NG has no voice 'xx-none'"):
        say("hello", Voice("xx-none", 150, 50, 50))


def test_nothing_to_say_is_refused():
    with pytest.raises(RuntimeError, match="said nothing for ' '"):
        say(" ", Voice("en-us+m1", 150, 50, 50))
