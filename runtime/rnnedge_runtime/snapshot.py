r"""A stream's state as bytes: bound to its model, and safe against damage.

Layout, all numbers little-endian::

    8 bytes   b"RNNEDGE\0"
    uint32    version of this layout
    uint32    length of the header
    header    JSON: model (sha256 in hex), batch, frames, states: [[name, dtype, shape], ...]
    tensors   the states' elements in that order, C order, without padding
    32 bytes  sha256 of everything before
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnedge_runtime.arrays import Array, shape_of
from rnnedge_runtime.contract import BATCH, State
from rnnedge_runtime.errors import SnapshotError

VERSION = 1
_MAGIC = b"RNNEDGE\0"
_PREFIX = struct.Struct("<8sII")
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Moment:
    """What a snapshot holds.

    Attributes:
        model: sha256 of the model file, in hex.
        batch: rows of the stream.
        frames: how many frames had been pushed.
        states: every state, by name.
    """

    model: str
    batch: int
    frames: int
    states: Mapping[str, Array]


def pack(moment: Moment) -> bytes:
    """The moment as bytes; `unpack` is the inverse."""
    arrays = {
        name: np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        for name, value in moment.states.items()
    }
    header = json.dumps(
        {
            "model": moment.model,
            "batch": moment.batch,
            "frames": moment.frames,
            "states": [
                [name, value.dtype.name, list(value.shape)] for name, value in moment.states.items()
            ],
        }
    ).encode()
    body = b"".join(
        [
            _PREFIX.pack(_MAGIC, VERSION, len(header)),
            header,
            *(array.tobytes() for array in arrays.values()),
        ]
    )
    return body + hashlib.sha256(body).digest()


def unpack(data: bytes, model: str, batch: int, states: Sequence[State]) -> Moment:
    """Reads a snapshot for a stream of `batch` rows of the model with sha256 `model`.

    Raises:
        SnapshotError: it is none, is damaged, newer, or of another model or batch size.
    """
    body = _checked_body(data)
    header, tensors = _parts(body)
    if header["model"] != model:
        raise SnapshotError(
            f"the snapshot is of another model: sha256 {header['model'][:12]}…, this one is "
            f"{model[:12]}…",
            where="snapshot header, field 'model'",
            fix="restore it on a stream of the very file it was taken from",
        )
    if header["batch"] != batch:
        raise SnapshotError(
            f"the snapshot has {header['batch']} rows, the stream {batch}",
            where="snapshot header, field 'batch'",
            fix=f"open the stream with batch={header['batch']}",
        )
    shapes = {state.name: shape_of(state, {BATCH: batch}) for state in states}
    listed = [[state.name, state.dtype, list(shapes[state.name])] for state in states]
    sizes = [math.prod(shapes[state.name]) * np.dtype(state.dtype).itemsize for state in states]
    if header["states"] != listed or len(tensors) != sum(sizes):
        raise _damaged("its states are not the model's", len(data))
    values: dict[str, Array] = {}
    offset = 0
    for state, size in zip(states, sizes, strict=True):
        dtype = np.dtype(state.dtype).newbyteorder("<")
        flat = np.frombuffer(tensors[offset : offset + size], dtype)
        values[state.name] = flat.reshape(shapes[state.name]).astype(state.dtype)
        offset += size
    return Moment(model, batch, header["frames"], values)


def _parts(body: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the tensors' bytes."""
    end = _PREFIX.size + _PREFIX.unpack_from(body)[2]
    try:
        header = json.loads(body[_PREFIX.size : end])
        fits = (
            isinstance(header["model"], str)
            and isinstance(header["frames"], int)
            and isinstance(header["batch"], int)
            and isinstance(header["states"], list)
        )
    except (ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise _damaged("its header does not read", len(body))
    return header, body[end:]


def _checked_body(data: bytes) -> bytes:
    """Everything before the digest, once nothing in it can have changed since `pack`."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise _not_a_snapshot(f"bytes are expected, got {type(data).__name__}")
    data = bytes(data)
    if len(data) < _PREFIX.size or not data.startswith(_MAGIC):
        raise _not_a_snapshot(f"{len(data)} bytes that do not begin like one")
    version = _PREFIX.unpack_from(data)[1]
    if version != VERSION:
        raise SnapshotError(
            f"snapshot layout {version} found, this runtime reads {VERSION}",
            where="snapshot, bytes 8 to 11",
            fix="install a newer rnnedge-runtime; if the bytes were damaged, take another snapshot",
        )
    body = data[:-_DIGEST_BYTES]
    if hashlib.sha256(body).digest() != data[-_DIGEST_BYTES:]:
        raise _damaged("its checksum does not match; truncated, or a bit flipped", len(data))
    return body


def _not_a_snapshot(problem: str) -> SnapshotError:
    return SnapshotError(
        f"this is not a snapshot: {problem}",
        where="restore(...)",
        fix="give the bytes that snapshot() returned",
    )


def _damaged(problem: str, size: int) -> SnapshotError:
    return SnapshotError(
        f"the snapshot is damaged: {problem}",
        where=f"snapshot of {size} bytes",
        fix="use an earlier snapshot, or start anew with reset()",
    )
