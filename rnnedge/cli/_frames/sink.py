"""Where the frames that come out go: ``.npy``, ``.npz``, ``.wav``, stdout, or nowhere."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from rnnedge.cli import _output
from rnnedge.cli._frames.npy import NpyWriter
from rnnedge.cli._frames.ports import Arrays, Source, entries_per_frame, is_samples, port_to_samples
from rnnedge.report.units import shape_text
from rnnedge_runtime.contract import Contract, Port
from rnnedge_runtime.errors import InputError


class Sink(Protocol):
    """Takes outputs chunk by chunk."""

    def write(self, outputs: Arrays) -> None:
        """Takes the outputs of one chunk, by port name."""
        ...

    def close(self) -> None:
        """Makes what has been written a whole file."""
        ...


@contextlib.contextmanager
def open_sink(path: Path | None, contract: Contract, source: Source) -> Iterator[Sink]:
    """Opens the sink that `path` names; None drops the outputs.

    A file is written as ``NAME.part`` and renamed at the end, so that an older one stays until the
    new one is whole. If the run fails, the part is closed, kept, and named on stderr.

    Raises:
        InputError: the name's suffix is unknown, or the outputs do not fit such a file.
    """
    if path is None or path == _output.STANDARD_STREAM:
        yield _Nowhere() if path is None else _Stdout(_only_output(contract, "stdout"))
        return
    part = path.with_name(path.name + ".part")
    sink = _file_sink(path, part, contract, source)
    try:
        yield sink
    except BaseException:
        sink.close()
        _output.say(f"the run stopped; the output so far is kept in {part}")
        raise
    sink.close()
    part.replace(path)


def _file_sink(path: Path, part: Path, contract: Contract, source: Source) -> Sink:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _Npy(part, _only_output(contract, str(path)), source)
    if suffix == ".npz":
        return _Npz(part, contract.outputs, source)
    if suffix == ".wav":
        return _Wav(part, _only_output(contract, str(path)), _rate(contract, source, path), source)
    raise InputError(
        f"files named *{suffix} cannot be written" if suffix else "the output's name has no suffix",
        where=str(path),
        fix="name it .npy, .npz or .wav, or - for raw bytes on stdout",
    )


def _only_output(contract: Contract, sink: str) -> Port:
    if len(contract.outputs) > 1:
        names = ", ".join(port.name for port in contract.outputs)
        raise InputError(
            f"the model has {len(contract.outputs)} outputs ({names}), this can take only one",
            where=sink,
            fix="name the output .npz: it holds one array per output",
        )
    return contract.outputs[0]


def _rate(contract: Contract, source: Source, path: Path) -> int:
    """The output's sample rate, from the input's and the output's frames per input frame."""
    port = contract.outputs[0]
    rate = source.sample_rate_hz
    if rate is None and contract.signal is not None:
        rate = contract.signal.sample_rate_hz
    if not is_samples(port) or rate is None:
        what = (
            "sample rate is unknown" if is_samples(port) else f"shape is {shape_text(port.shape)}"
        )
        raise InputError(
            f"the output is no sound: its {what}",
            where=f"output {port.name!r}, {path}",
            fix="name it .npy; a sample rate comes from a sound file as input or from the contract",
        )
    timed = next(p for p in contract.inputs if p.time_axis is not None)
    return round(rate * port.ratio * entries_per_frame(port) / entries_per_frame(timed))


class _Nowhere:
    def write(self, outputs: Arrays) -> None:
        pass

    def close(self) -> None:
        pass


class _Stdout:
    def __init__(self, port: Port) -> None:
        self._port = port
        self._dtype = np.dtype(port.dtype).newbyteorder("<")

    def write(self, outputs: Arrays) -> None:
        frames = np.moveaxis(outputs[self._port.name], self._port.time_axis or 0, 0)
        sys.stdout.buffer.write(frames.astype(self._dtype, copy=False).tobytes())
        sys.stdout.buffer.flush()  # the next program in the pipe works on it now

    def close(self) -> None:
        pass


class _Npy:
    def __init__(self, path: Path, port: Port, source: Source) -> None:
        self._name = port.name
        self._writer = NpyWriter(
            path, port, batch=source.batch, has_batch_axis=source.has_batch_axis
        )

    def write(self, outputs: Arrays) -> None:
        self._writer.write(outputs[self._name])

    def close(self) -> None:
        self._writer.close()


class _Npz:
    """One ``.npy`` file per output in a folder beside `path`, put together at the end."""

    def __init__(self, path: Path, ports: tuple[Port, ...], source: Source) -> None:
        self._path = path
        self._folder = tempfile.TemporaryDirectory(dir=path.parent)
        self._arrays = {
            port.name: _Npy(Path(self._folder.name) / f"{index}.npy", port, source)
            for index, port in enumerate(ports)
        }

    def write(self, outputs: Arrays) -> None:
        for array in self._arrays.values():
            array.write(outputs)

    def close(self) -> None:
        with self._folder as folder, zipfile.ZipFile(self._path, "w") as archive:
            for index, (name, array) in enumerate(self._arrays.items()):
                array.close()
                archive.write(Path(folder) / f"{index}.npy", f"{name}.npy")


class _Wav:
    def __init__(self, path: Path, port: Port, sample_rate_hz: int, source: Source) -> None:
        import soundfile

        self._port = port
        # Floats are stored as floats: integers would clip what the model put out above 1.
        subtype = "PCM_16" if port.dtype == "int16" else "FLOAT"
        self._file = soundfile.SoundFile(
            path, "w", sample_rate_hz, source.batch, subtype, format="WAV"
        )

    def write(self, outputs: Arrays) -> None:
        self._file.write(port_to_samples(outputs[self._port.name], self._port))

    def close(self) -> None:
        self._file.close()
