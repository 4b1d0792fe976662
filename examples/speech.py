"""Speech for the examples, spoken by eSpeak NG, which ``pip install espeakng-loader`` brings.

No recording of a person is used: words and sentences are synthesised by many voices at many speeds
and pitches, which is enough to train small networks in minutes. The library is called in-process
through ctypes and gives 16-bit PCM, here as float32 at 16 kHz.
"""

from __future__ import annotations

import _ctypes
import ctypes
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
"""Samples in -1..1 at `SAMPLE_RATE`, ``[time]``."""

SAMPLE_RATE = 16_000

LANGUAGES = ("en-us", "en", "en-gb-scotland", "de", "es", "fr", "it", "nl", "pt-br", "sv")
"""Each reads the same English words by its own rules, so that the sounds vary more than a voice."""

_TRAIN = "m1 m2 m4 m5 m7 m8 f1 f2 f4 Alex Denis Gene Jacky Lee Mario Michael Storm Annie Andrea"
TRAIN_VARIANTS = (*_TRAIN.split(), "steph", "linda", "adam")
TEST_VARIANTS = ("m3", "m6", "f3", "f5", "Alicia", "david", "Marco", "Diogo")
"""Kept away from all training."""

_SYNCHRONOUS, _CHARS_UTF8 = 2, 1
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Voice:
    """Who speaks.

    Attributes:
        name: eSpeak's language and variant, such as ``en-us+f2``.
        words_per_minute: speed, 80 to 450.
        pitch: base pitch, 0 to 99.
        pitch_range: liveliness, 0 to 99; 0 is monotone.
    """

    name: str
    words_per_minute: int
    pitch: int
    pitch_range: int


def random_voice(
    rng: np.random.Generator, variants: Sequence[str], languages: Sequence[str] = LANGUAGES
) -> Voice:
    """Draws a speaker."""
    return Voice(
        name=f"{rng.choice(languages)}+{rng.choice(variants)}",
        words_per_minute=int(rng.integers(110, 220)),
        pitch=int(rng.integers(15, 85)),
        pitch_range=int(rng.integers(20, 90)),
    )


def say(text: str, voice: Voice) -> Wave:
    """Speaks `text`; silence at both ends is cut, the peak is 0.5.

    Raises:
        RuntimeError: eSpeak NG has no such voice, or said nothing.
    """
    with closing(_Speaker()) as speaker:
        pcm = speaker.say(text, voice)
    if not pcm.any():
        raise RuntimeError(f"eSpeak NG said nothing for {text!r} with {voice}")
    wave = resample(pcm.astype(np.float32) / 32768, speaker.sample_rate)
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max())
    wave = wave[loud[0] : loud[-1] + 1]
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


class _Speaker:
    """The library, loaded anew for every text, which takes 5 ms.

    eSpeak NG keeps filters and phases in globals that no call sets back: what was said before would
    show, faintly, in what is said next, and the same seed would give other samples.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise RuntimeError(
                "this example synthesises its own speech: pip install espeakng-loader"
            ) from error
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.sample_rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self.sample_rate <= 0:
            raise RuntimeError(f"eSpeak NG did not start with the data in {data.decode()}")
        self._parts: list[NDArray[np.int16]] = []
        self._callback = _CALLBACK(self._keep)  # held here: the library keeps a bare pointer
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: Voice) -> NDArray[np.int16]:
        library = self._library
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {voice.name!r}")
        library.espeak_SetParameter(_RATE, voice.words_per_minute, 0)
        library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)
        # Breath noise comes from a generator that would go on from the last call.
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._parts.clear()
        data = text.encode()
        size = ctypes.c_size_t(len(data) + 1)
        library.espeak_Synth(data, size, 0, 0, 0, _CHARS_UTF8, None, None)
        return np.concatenate([np.zeros(0, np.int16), *self._parts])

    def close(self) -> None:
        """Unloads the library, and its globals with it."""
        self._library.espeak_Terminate()
        if hasattr(_ctypes, "dlclose"):  # not on Windows: samples depend on what came before there
            _ctypes.dlclose(self._library._handle)

    def _keep(self, pcm: object, count: int, _events: object) -> int:
        if pcm and count > 0:
            self._parts.append(np.ctypeslib.as_array(pcm, (count,)).copy())  # type: ignore[call-overload]
        return 0


def resample(wave: Wave, rate: int) -> Wave:
    """From `rate` to 16 kHz, by cutting the spectrum or filling it up.

    The ends are silent, so that it may wrap around. Another rate than the wave's own makes it
    faster, higher and of a smaller mouth (above), or slower, lower and of a larger one.
    """
    length = len(wave) * SAMPLE_RATE // rate
    spectrum = np.fft.rfft(wave)[: length // 2 + 1]  # irfft fills up with zeros
    return (np.fft.irfft(spectrum, length) * (length / len(wave))).astype(np.float32)
