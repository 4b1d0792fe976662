"""What a streaming model file promises: its inputs, outputs and states.

The contract is JSON in the ONNX file's ``metadata_props["rnnedge.contract"]``. ``docs/contract.md``
describes it for runtimes in other languages; this module reads, validates and writes it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, TypeAlias, cast

from rnnedge_runtime.contract_fields import Fields, refuse_constant
from rnnedge_runtime.contract_rules import (
    CLOCKS_KEY,
    DTYPES,
    METADATA_KEY,
    TENSOR_KEY_PREFIX,
    check,
    damaged,
)
from rnnedge_runtime.dims import BATCH, TIME, Dim, dim_factor
from rnnedge_runtime.errors import ContractError

__all__ = [
    "BATCH",
    "CLOCKS_KEY",
    "DTYPES",
    "KNOWN_VERSIONS",
    "METADATA_KEY",
    "TENSOR_KEY_PREFIX",
    "TIME",
    "VERSION",
    "Contract",
    "Dim",
    "Length",
    "Mode",
    "Port",
    "Signal",
    "State",
    "StateKind",
    "dim_factor",
    "read",
]

VERSION = 2
KNOWN_VERSIONS = (1, 2)
"""What `read` takes; the fields that version 2 added have defaults that mean what 1 meant."""

Mode: TypeAlias = Literal["stream", "sequence"]
StateKind: TypeAlias = Literal["hidden", "cell", "context", "buffer", "user", "position", "length"]
Length: TypeAlias = tuple[tuple[int, int, int], ...]
"""Steps (mul, add, div), each ``n = floor((n * mul + add) / div)``."""

_RATIO = re.compile(r"[1-9][0-9]{0,8}(?:/[1-9][0-9]{0,8})?")


@dataclass(frozen=True)
class Port:
    """One input or output tensor of the graph.

    Attributes:
        name: the tensor's name in the graph.
        dtype: numpy's name of the element type.
        shape: sizes and symbols, one per axis.
        batch_axis: the axis along which the streams of a batch lie, if there is one.
        time_axis: the axis along which frames lie. An input without one is given whole with every
            push; an output without one is the value after the last frame pushed.
        ratio: output frames per input frame (outputs only).
        delay: by how many of its own frames the output lags behind the whole-sequence model
            (outputs only): what a run emits as number j since the start is frame j - delay.
        length: how many frames the whole-sequence model gives, as steps from the number of input
            frames (outputs only); see `length_of`.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    batch_axis: int | None
    time_axis: int | None
    ratio: Fraction = Fraction(1)
    delay: int = 0
    length: Length = ()

    def length_of(self, frames: int) -> int:
        """How many frames the whole-sequence model gives for `frames` input frames."""
        if not self.length:
            return math.floor(frames * self.ratio)
        count = frames
        for mul, add, div in self.length:
            count = (count * mul + add) // div
        return max(count, 0)


@dataclass(frozen=True)
class State:
    """One tensor that is carried from run to run.

    Attributes:
        name: the path of the module that owns it, and its role: ``encoder.gru.h``.
        input: the graph input that takes it.
        output: the graph output that returns it.
        dtype: numpy's name of the element type.
        shape: sizes and symbols, one per axis; the batch axis may be folded: ``"33*batch"``.
        batch_axis: the axis along which the streams of a batch lie, if there is one.
        batch_outer: the blocks into which a folded batch axis divides before the batch: an axis
            of ``33*batch`` is ``[batch_outer, batch, 33 / batch_outer]`` flattened.
        kind: ``hidden``, ``cell``, ``context``, ``buffer``; ``user`` for one that the module's
            forward takes and returns; ``position`` for the input frames run since a row's start,
            which the graph counts; ``length`` for all input frames of a row's signal, which the
            runtime writes when the signal ends.
        fill: the initial value of every element, unless `tensor` is given.
        tensor: the metadata key of the initial value, stored with batch 1.
        delay: by how many input frames it lags behind the module's own state.
    """

    name: str
    input: str
    output: str
    dtype: str
    shape: tuple[Dim, ...]
    batch_axis: int | None
    kind: StateKind
    batch_outer: int = 1
    fill: float = 0.0
    tensor: str | None = None
    delay: int = 0


@dataclass(frozen=True)
class Signal:
    """How frames relate to a sampled signal; quantities in Hz and samples."""

    sample_rate_hz: int
    hop_samples: int
    window_samples: int


@dataclass(frozen=True)
class Contract:
    """The whole promise of one model file. `read` and `to_json` are inverse to each other.

    Attributes:
        mode: ``stream``: can be run in chunks of any length; ``sequence``: whole sequences only.
        inputs: data inputs, states not among them.
        outputs: data outputs, states not among them.
        states: what is carried from run to run; empty in sequence mode.
        source: where the file came from: class, versions, checkpoint sha256, opset.
        parity: what was proved at export, as the verifier wrote it; None when nothing was.
        signal: the relation of frames to samples, if known.
        chunk_multiple: every run takes a multiple of so many input frames.
        chunk_most: no run takes more input frames than so many; None for any number.
    """

    mode: Mode
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] | None = None
    signal: Signal | None = None
    version: int = VERSION
    chunk_multiple: int = 1
    chunk_most: int | None = None

    def __post_init__(self) -> None:
        check(self)

    def to_json(self) -> str:
        """The contract as it is stored in the file.

        Raises:
            ContractError: `source` or `parity` hold what JSON cannot: NaN, Inf, other objects.
        """
        try:
            return json.dumps(self._to_dict(), ensure_ascii=False, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise damaged(
                f"it cannot be written as JSON ({error})", "'source', 'parity'"
            ) from error

    def _to_dict(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "mode": self.mode,
            "chunk_multiple": self.chunk_multiple,
            "chunk_most": self.chunk_most,
            "inputs": [_port_to_dict(port, is_output=False) for port in self.inputs],
            "outputs": [_port_to_dict(port, is_output=True) for port in self.outputs],
            "states": [_state_to_dict(state) for state in self.states],
            "source": dict(self.source),
            "parity": None if self.parity is None else dict(self.parity),
            "signal": None if self.signal is None else vars(self.signal),
        }


def read(text: str) -> Contract:
    """Reads a contract from its JSON.

    Raises:
        ContractError: it is not JSON, is of a newer version, or contradicts itself.
    """
    try:
        data = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise damaged(f"it is not JSON ({error})", "the whole text") from error
    fields = Fields(data, "contract")
    version = fields.get("version", int)
    if version not in KNOWN_VERSIONS:
        raise ContractError(
            f"contract version {version} found, this runtime reads versions "
            f"{' and '.join(map(str, KNOWN_VERSIONS))}",
            where=f"metadata {METADATA_KEY!r}, field 'version'",
            fix="install a newer rnnedge-runtime, or export the model again with this release",
        )
    signal = fields.get("signal", dict, optional=True)
    return Contract(
        version=version,
        mode=cast("Mode", fields.get("mode", str)),
        inputs=tuple(_read_port(*item) for item in fields.items("inputs")),
        outputs=tuple(_read_port(*item) for item in fields.items("outputs")),
        states=tuple(_read_state(*item) for item in fields.items("states")),
        source=fields.get("source", dict),
        parity=fields.get("parity", dict, optional=True),
        signal=None if signal is None else _read_signal(signal),
        chunk_multiple=fields.whole("chunk_multiple", 1),
        chunk_most=fields.get("chunk_most", int, optional=True),
    )


def _read_port(data: object, where: str) -> Port:
    fields = Fields(data, where)
    ratio = fields.get("ratio", str, optional=True) or "1"
    if not _RATIO.fullmatch(ratio):
        raise damaged(f"{ratio!r} is not a ratio such as '1/2'", f"{where}, 'ratio'")
    return Port(
        name=fields.get("name", str),
        dtype=fields.get("dtype", str),
        shape=tuple(fields.list("shape")),
        batch_axis=fields.get("batch_axis", int, optional=True),
        time_axis=fields.get("time_axis", int, optional=True),
        ratio=Fraction(ratio),
        delay=fields.whole("delay", 0),
        length=tuple(fields.triples("length")),
    )


def _read_state(data: object, where: str) -> State:
    fields = Fields(data, where)
    initial = Fields(fields.get("initial", dict), f"{where}, 'initial'")
    tensor = initial.get("tensor", str, optional=True)
    return State(
        name=fields.get("name", str),
        input=fields.get("input", str),
        output=fields.get("output", str),
        dtype=fields.get("dtype", str),
        shape=tuple(fields.list("shape")),
        batch_axis=fields.get("batch_axis", int, optional=True),
        batch_outer=fields.whole("batch_outer", 1),
        kind=fields.get("kind", str),
        fill=0.0 if tensor is not None else initial.number("fill"),
        tensor=tensor,
        delay=fields.whole("delay", 0),
    )


def _read_signal(data: object) -> Signal:
    fields = Fields(data, "signal")
    return Signal(
        sample_rate_hz=fields.get("sample_rate_hz", int),
        hop_samples=fields.get("hop_samples", int),
        window_samples=fields.get("window_samples", int),
    )


def _port_to_dict(port: Port, *, is_output: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": port.name,
        "dtype": port.dtype,
        "shape": list(port.shape),
        "batch_axis": port.batch_axis,
        "time_axis": port.time_axis,
    }
    if is_output:
        data |= {"ratio": str(port.ratio), "delay": port.delay}
        data["length"] = [list(step) for step in port.length]
    return data


def _state_to_dict(state: State) -> dict[str, Any]:
    return {
        "name": state.name,
        "input": state.input,
        "output": state.output,
        "dtype": state.dtype,
        "shape": list(state.shape),
        "batch_axis": state.batch_axis,
        "batch_outer": state.batch_outer,
        "kind": state.kind,
        "delay": state.delay,
        "initial": {"fill": state.fill} if state.tensor is None else {"tensor": state.tensor},
    }
