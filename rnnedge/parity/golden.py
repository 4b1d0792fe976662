"""Golden files: what the module gives, kept, so that a device can ask without the module.

An ``.npz`` of numbers only. The array ``header`` is JSON in UTF-8: which model it is of, what made
it, and every case with the names of its arrays. `docs/parity.md` describes it.
"""

from __future__ import annotations

import hashlib
import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnedge.files import write_whole
from rnnedge.parity.cases import Case, Restart
from rnnedge.parity.measure import Array, Reference, Truth
from rnnedge_runtime import Contract
from rnnedge_runtime.errors import RnnEdgeError

FORMAT = "rnnedge golden"
VERSION = 1
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,  # of a member's header, which numpy parses
    MemoryError,
    RuntimeError,  # a member is encrypted; NotImplementedError: compressed in an unknown way
    zipfile.BadZipFile,
    zlib.error,
)
_REMAKE = "copy it again, or make it anew: rnnedge verify MODEL.onnx --against ... --save-golden"


class GoldenError(RnnEdgeError, ValueError):
    """A golden file is missing, damaged, or of another model."""


@dataclass(frozen=True)
class Golden:
    """What a golden file holds.

    Attributes:
        model_sha256: of the model file that was proven with it.
        contract_sha256: of what that file promises; see `promise_sha256`.
        versions: of what made it.
        settings: seed, batch sizes, frames: as in the report.
        allowed_ratio: that the proof was made with.
        cases: inputs, pushes, and what the module gives in float64.
        own: PyTorch's own float32 error, by output and state that was compared, by channel.
    """

    model_sha256: str
    contract_sha256: str
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    allowed_ratio: float
    cases: tuple[Case, ...]
    own: Mapping[str, Array]


def promise_sha256(contract: Contract) -> str:
    """In hex: of inputs, outputs and states; not of the file's origin and proof."""
    promise = replace(contract, source={}, parity=None, signal=None)
    return hashlib.sha256(promise.to_json().encode()).hexdigest()


def write_golden(path: Path, golden: Golden) -> None:
    """Writes a golden file; one that is there is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    arrays = _Arrays()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "model_sha256": golden.model_sha256,
        "contract_sha256": golden.contract_sha256,
        "versions": dict(golden.versions),
        "settings": dict(golden.settings),
        "allowed_ratio": golden.allowed_ratio,
        "torch_errors": arrays.names(golden.own),
        "cases": [_case_to_dict(case, arrays) for case in golden.cases],
    }
    text = np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8)
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, header=text, **arrays.values)
    write_whole(path, data.getvalue())


def read_golden(path: Path) -> Golden:
    """Reads a golden file. Nothing is unpickled.

    Raises:
        GoldenError: it is missing, damaged, no golden file, or of a newer release.
    """
    members = _members(path)
    try:
        header = json.loads(members.pop("header").tobytes())
        if header["format"] != FORMAT:
            raise ValueError("another format")
        version = header["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(path, "it is no golden file: it has no header that tells so") from error
    if version != VERSION:
        raise GoldenError(
            f"golden file version {version!r} found, this release reads {VERSION}",
            where=str(path),
            fix="install the release of rnnedge that made it, or make it anew with this one",
        )
    arrays = _Named(members)
    try:
        golden = _from_header(header, arrays)
    except KeyError as error:
        raise _refused(path, f"it holds no {error.args[0]!r}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise _refused(path, f"its header does not read ({error})") from error
    if unknown := sorted(members.keys() - arrays.used):
        raise _refused(path, f"it holds what its header does not name: {', '.join(unknown[:3])}")
    return golden


def damaged(path: Path, problem: str) -> GoldenError:
    """The error about a file whose content does not hang together."""
    return _refused(path, problem)


def _members(path: Path) -> dict[str, Array]:
    """All arrays of the file."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                raise _refused(path, "it is no golden file: no .npz, or its beginning is lost")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                members = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise GoldenError(
            "there is no such golden file", where=str(path), fix="check the path"
        ) from error
    except _UNREADABLE as error:
        if isinstance(error, GoldenError):
            raise
        raise _refused(path, f"it cannot be read ({str(error) or type(error).__name__})") from error
    for name, value in members.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            raise _refused(path, f"its {name!r} is not an array of numbers")
    return members


def _refused(path: Path, problem: str) -> GoldenError:
    return GoldenError(f"the golden file cannot be used: {problem}", where=str(path), fix=_REMAKE)


@dataclass
class _Arrays:
    """Names for arrays that are to be written; equal ones are written once."""

    values: dict[str, Array] = field(default_factory=dict)
    _known: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def names(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        """The name of each in the file."""
        return {name: self._name(array) for name, array in arrays.items()}

    def _name(self, array: Array) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()
        name = self._known.setdefault(
            (digest, array.dtype.str, array.shape), f"array{len(self._known)}"
        )
        self.values[name] = array
        return name


class _Named:
    """The arrays of a file, by the names in its header; notes which are used."""

    def __init__(self, members: Mapping[str, Array]) -> None:
        self.used: set[str] = set()
        self._members = members

    def get(self, names: Mapping[str, str]) -> dict[str, Array]:
        """KeyError where the file holds no such array."""
        self.used |= set(names.values())
        return {name: self._members[key] for name, key in names.items()}

    def references(self, names: Mapping[str, str]) -> dict[str, Reference]:
        """PyTorch's own error is known from elsewhere: `Golden.own`."""
        return {name: Reference(value, value) for name, value in self.get(names).items()}


def _case_to_dict(case: Case, arrays: _Arrays) -> dict[str, Any]:
    restart = case.restart
    return {
        "check": case.check,
        "batch": case.batch,
        "lengths": None if case.lengths is None else list(case.lengths),
        "inputs": arrays.names(case.inputs),
        "start": arrays.names(case.start),
        "outputs": arrays.names(_exact(case.truth.outputs)),
        "states": arrays.names(_exact(case.truth.states)),
        "restart": None
        if restart is None
        else {
            "row": restart.row,
            "frames": restart.frames,
            "outputs": arrays.names(_exact(restart.truth.outputs)),
        },
    }


def _exact(references: Mapping[str, Reference]) -> dict[str, Array]:
    return {name: reference.exact for name, reference in references.items()}


def _from_header(header: Mapping[str, Any], arrays: _Named) -> Golden:
    """KeyError, ValueError, TypeError or AttributeError where the header is not one."""
    cases = tuple(_case(data, arrays) for data in header["cases"])
    if not cases:
        raise ValueError("it has no cases")
    return Golden(
        model_sha256=_text(header["model_sha256"]),
        contract_sha256=_text(header["contract_sha256"]),
        versions={_text(k): _text(v) for k, v in header["versions"].items()},
        settings=_settings(header["settings"]),
        allowed_ratio=float(header["allowed_ratio"]),
        cases=cases,
        own=arrays.get(header["torch_errors"]),
    )


def _case(data: Mapping[str, Any], arrays: _Named) -> Case:
    lengths, again = data["lengths"], data["restart"]
    return Case(
        check=_text(data["check"]),
        batch=_count(data["batch"]),
        inputs=arrays.get(data["inputs"]),
        lengths=None if lengths is None else tuple(map(_count, lengths)),
        truth=Truth(arrays.references(data["outputs"]), arrays.references(data["states"])),
        start=arrays.get(data["start"]),
        restart=None
        if again is None
        else Restart(
            _count(again["row"]),
            _count(again["frames"]),
            Truth(arrays.references(again["outputs"]), {}),
        ),
    )


def _settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a report cannot do without has to be there."""
    if not isinstance(data["batches"], list):
        raise TypeError("batch sizes are no list")
    _ = data["frames"], data["seed"]
    return dict(data)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, got {type(value).__name__}")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"a count expected, got {value!r}")
    return value
