"""Frames from sound files; each channel is one stream of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rnnedge.cli import _output
from rnnedge.cli._frames.ports import Arrays, Source, entries_per_frame, is_samples, samples_to_port
from rnnedge.report.units import shape_text
from rnnedge_runtime.contract import Port, Signal
from rnnedge_runtime.errors import InputError

SUFFIXES = (".wav", ".flac")
_DTYPES = ("float32", "float64", "int16", "int32")


def sound_source(path: Path, port: Port, signal: Signal | None) -> Source:
    """Blocks of samples.

    Raises:
        InputError: the model takes no samples, the sample rate is another one, or the file cannot
            be read.
    """
    import soundfile

    if not is_samples(port) or port.dtype not in _DTYPES:
        raise InputError(
            f"a sound file holds samples, the model takes {port.dtype}{shape_text(port.shape)}",
            where=f"input {port.name!r}, {path}",
            fix="compute the features, save them with np.save, and give the .npy file",
        )
    try:
        facts = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"the sound file cannot be read: {error.error_string}",
            where=str(path),
            fix="check that the file is whole and plays",
        ) from error
    _check_rate(facts.samplerate, signal, path)

    def chunks(size: int | None) -> Iterator[Arrays]:
        with soundfile.SoundFile(path) as file:
            entries = entries_per_frame(port)
            length = size * entries if size else max(len(file), 1)
            for block in file.blocks(length, dtype=port.dtype, always_2d=True):
                yield {port.name: samples_to_port(_whole_frames(block, entries), port)}

    return Source(chunks, facts.channels, facts.channels > 1, facts.samplerate)


def _whole_frames(samples: np.ndarray, entries: int) -> np.ndarray:
    """Fills the last frame of the file with silence, if it is not whole."""
    missing = -len(samples) % entries
    if not missing:
        return samples
    _output.say(
        f"the last frame lacked {missing} of {entries} samples, and was filled with silence"
    )
    return np.pad(samples, ((0, missing), (0, 0)))


def _check_rate(sample_rate_hz: int, signal: Signal | None, path: Path) -> None:
    if signal is not None and signal.sample_rate_hz != sample_rate_hz:
        raise InputError(
            f"{sample_rate_hz} Hz found, the model was made for {signal.sample_rate_hz} Hz",
            where=str(path),
            fix=f"resample it, for example: sox {path.name} -r {signal.sample_rate_hz} new.wav",
        )
