"""Snapshots: the very moment comes back, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnedge_runtime import SnapshotError, load


@pytest.fixture(scope="module")
def started(lstm):
    """A stream that has run for a while, and its snapshot."""
    stream = lstm.load().stream(batch=2)
    stream.push(lstm.signal(2, 7))
    return stream, stream.snapshot()


def _refuses(stream, data, message):
    before, frames = stream.snapshot(), stream.frames
    with pytest.raises(SnapshotError, match=message) as caught:
        stream.restore(data)
    assert stream.snapshot() == before
    assert stream.frames == frames
    return caught.value


@settings(max_examples=20, deadline=None)
@given(head=st.integers(0, 9), tail=st.integers(1, 9), batch=st.integers(1, 4))
def test_a_restored_stream_goes_on_as_if_nothing_had_happened(lstm, head, tail, batch):
    x = lstm.signal(batch, head + tail)
    stream = lstm.load().stream(batch)
    stream.push(x[:, :head])
    data = stream.snapshot()
    expected = stream.push(x[:, head:])
    other = load(lstm.data).stream(batch)
    other.push(x[:, ::-1])
    other.restore(data)
    assert other.frames == head
    np.testing.assert_array_equal(other.push(x[:, head:]), expected)


_ELSEWHERE = """
import sys
import numpy as np
from rnnedge_runtime import load
model, snapshot, frames, result = sys.argv[1:]
stream = load(model).stream(batch=2)
with open(snapshot, "rb") as file:
    stream.restore(file.read())
np.save(result, stream.push(np.load(frames)))
"""


def test_a_stream_goes_on_in_another_process(lstm, tmp_path):
    stream = lstm.load().stream(batch=2)
    stream.push(lstm.signal(2, 7))
    x = lstm.signal(2, 9, seed=1)
    files = [tmp_path / name for name in ("model.onnx", "moment", "x.npy", "y.npy")]
    files[0].write_bytes(lstm.data)
    files[1].write_bytes(stream.snapshot())
    np.save(files[2], x)
    subprocess.run([sys.executable, "-c", _ELSEWHERE, *map(str, files)], check=True, timeout=60)
    np.testing.assert_array_equal(np.load(files[3]), stream.push(x))


def test_a_snapshot_of_the_same_moment_has_the_same_bytes(started):
    stream, data = started
    assert stream.fork().snapshot() == data


def test_every_state_and_type_survives(make):
    dtypes = ["float16", "float32", "float64", "int8", "int64", "uint16", "bool"]
    states = [make.state(f"s.{d}", 2, "3*batch", dtype=d, batch_outer=3) for d in dtypes]
    states += [make.state("none", 0, "batch"), make.state("scalar", dtype="int32")]
    contract = make.sum_contract(states=(make.state("total", "batch", 2), *states))
    nodes = [make.node("Identity", [s.input], [s.output]) for s in states]
    data = make.file(contract, [*make.sum_nodes(), *nodes], make.sum_constants())
    stream = load(data).stream(batch=2)
    rng = np.random.default_rng(0)
    values = {
        name: rng.integers(0, 2, value.shape).astype(value.dtype)
        for name, value in stream.state.items()
    }
    stream.set_state(values)
    fresh = load(data).stream(batch=2)
    fresh.restore(stream.snapshot())
    for name, value in values.items():
        np.testing.assert_array_equal(fresh.state[name], value)
        assert fresh.state[name].dtype == value.dtype


def test_any_flipped_bit_is_found(started):
    stream, data = started
    for place in range(len(data)):
        for bit in (0, 7):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(SnapshotError):
                stream.restore(bytes(flipped))
    assert stream.snapshot() == data


def test_any_truncation_is_found(started):
    stream, data = started
    for length in range(len(data)):
        with pytest.raises(SnapshotError):
            stream.restore(data[:length])
    _refuses(stream, data + b"\0", "the snapshot is damaged: its checksum does not match")


def test_a_damaged_snapshot_is_refused(started):
    stream, data = started
    error = _refuses(stream, data[:-1], "its checksum does not match; truncated, or a bit flipped")
    assert "earlier snapshot" in error.fix


@pytest.mark.parametrize("data", [b"", b"RNNEDGE", b"PK\x03\x04" * 20, "text", None, 7])
def test_what_is_not_a_snapshot_is_refused(started, data):
    _refuses(started[0], data, "this is not a snapshot")


def test_a_snapshot_of_another_model_is_refused(started, make_twin):
    other = make_twin("LSTM", features=3, hidden=5, layers=2, seed=77).load().stream(batch=2)
    _refuses(other, started[1], "the snapshot is of another model")


def test_a_snapshot_of_another_batch_size_is_refused(started, lstm):
    error = _refuses(lstm.load().stream(), started[1], "the snapshot has 2 rows, the stream 1")
    assert "batch=2" in error.fix


def _signed(body):
    return bytes(body) + hashlib.sha256(body).digest()


def test_a_snapshot_of_another_layout_is_refused(started):
    stream, data = started
    body = bytearray(data[:-32])
    struct.pack_into("<I", body, 8, 1)
    error = _refuses(stream, _signed(body), "snapshot layout 1 found, this runtime reads 2")
    assert "the release that took it" in error.fix


@pytest.mark.parametrize("header", [b"{}", b"[]", b"not json", b'{"model": 1}', b"\xff"])
def test_a_forged_header_is_refused(started, header):
    stream, data = started
    body = data[:8] + struct.pack("<II", 2, len(header)) + header
    _refuses(stream, _signed(body), "its header does not read")


def test_forged_states_are_refused(started):
    stream, data = started
    size = struct.unpack_from("<I", data, 12)[0]
    header = json.loads(data[16 : 16 + size])
    header["states"][0][2] = [1, 2, 6]
    text = json.dumps(header).encode()
    body = data[:12] + struct.pack("<I", len(text)) + text + data[16 + size : -32]
    _refuses(stream, _signed(body), "its states are not the model's")
    _refuses(stream, _signed(data[:-40]), "its states are not the model's")
