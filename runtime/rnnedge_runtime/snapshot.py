r"""A stream's state as bytes: bound to its model, and safe against damage.

Layout, all numbers little-endian::

    8 bytes   b"RNNEDGE\0"
    uint32    version of this layout
    uint32    length of the header
    header    JSON: model (sha256 in hex), batch, frames, starts: [frames, ...], is_ended,
              held_frames, and states and held: [[name, dtype, shape], ...]
    tensors   their elements in that order, states first, C order, without padding
    32 bytes  sha256 of everything before
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnedge_runtime.arrays import Array, measure, shape_of
from rnnedge_runtime.contract import BATCH, TIME, Contract
from rnnedge_runtime.errors import InputError, SnapshotError

VERSION = 2
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
        starts: how many frames had been run when the row began, one number per row.
        is_ended: whether the signal was ended by `flush`.
        held_frames: how many of the frames pushed have not been run.
        held: what the next run begins with, by input; empty where there is nothing.
    """

    model: str
    batch: int
    frames: int
    states: Mapping[str, Array]
    starts: tuple[int, ...]
    is_ended: bool
    held_frames: int
    held: Mapping[str, Array]


def pack(moment: Moment) -> bytes:
    """The moment as bytes; `unpack` is the inverse."""
    tensors = [*moment.states.values(), *moment.held.values()]
    header = json.dumps(
        {
            "model": moment.model,
            "batch": moment.batch,
            "frames": moment.frames,
            "starts": moment.starts,
            "is_ended": moment.is_ended,
            "held_frames": moment.held_frames,
            "states": _listed(moment.states),
            "held": _listed(moment.held),
        }
    ).encode()
    body = b"".join(
        [
            _PREFIX.pack(_MAGIC, VERSION, len(header)),
            header,
            *map(_little_endian, tensors),
        ]
    )
    return body + hashlib.sha256(body).digest()


def _listed(tensors: Mapping[str, Array]) -> list[list[Any]]:
    return [[name, _name(value.dtype), value.shape] for name, value in tensors.items()]


@functools.cache  # numpy makes the name anew each time, which takes longer than all else here
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name


def _little_endian(tensor: Array) -> bytes:
    if sys.byteorder == "big":
        tensor = tensor.astype(tensor.dtype.newbyteorder("<"))
    return tensor.tobytes()


def unpack(data: bytes, model: str, batch: int, contract: Contract) -> Moment:
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
    wanted = [
        [state.name, state.dtype, list(shape_of(state, {BATCH: batch}))]
        for state in contract.states
    ]
    if header["states"] != wanted:
        raise _damaged("its states are not the model's", len(data))
    try:
        arrays = _arrays(tensors, [*wanted, *header["held"]])
        states = dict(arrays[: len(wanted)])
        held = dict(arrays[len(wanted) :])
        if held:
            measure(contract.inputs, held, {BATCH: batch, TIME: header["held_frames"]})
    except (InputError, ValueError, TypeError, KeyError) as error:
        raise _damaged("its states are not the model's", len(data)) from error
    return Moment(
        model,
        batch,
        header["frames"],
        states,
        tuple(header["starts"]),
        header["is_ended"],
        header["held_frames"],
        held,
    )


def _arrays(data: bytes, listed: Sequence[Sequence[Any]]) -> list[tuple[str, Array]]:
    """Cuts `data` into the tensors listed; ValueError or TypeError where that can't be done."""
    arrays, offset = [], 0
    for name, dtype, shape in listed:
        little = np.dtype(dtype).newbyteorder("<")
        end = offset + math.prod(shape) * little.itemsize
        flat = np.frombuffer(data[offset:end], little)
        arrays.append((name, flat.reshape(shape).astype(dtype)))
        offset = end
    if offset != len(data):
        raise ValueError(f"{len(data)} bytes, {offset} expected")
    return arrays


def _parts(body: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the tensors' bytes."""
    end = _PREFIX.size + _PREFIX.unpack_from(body)[2]
    try:
        header = json.loads(body[_PREFIX.size : end])
        fits = (
            isinstance(header["model"], str)
            and isinstance(header["is_ended"], bool)
            and all(type(header[key]) is int for key in ("frames", "batch", "held_frames"))
            and all(isinstance(header[key], list) for key in ("states", "held"))
            and [type(start) for start in header["starts"]] == [int] * header["batch"]
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
            fix="restore it with the release that took it, or take another snapshot",
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
