"""Other forms of a file: the same function in other operators, or in numbers of fewer bits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx

from rnnedge.benchmark.peers.torch_module import Against
from rnnedge.tuning.options import TuneOptions
from rnnedge_runtime.contract import METADATA_KEY, Contract

QUANTISED = {
    "int8": {"kind": "int8"},
    "int8 in chunks": {"kind": "int8", "form": "chunks"},
    "8-bit weights": {"kind": "weights8"},
    "4-bit weights": {"kind": "weights4"},
}
"""Of `rnnedge quantize`, as its options."""


@dataclass(frozen=True)
class Form:
    """A way to run the model.

    Attributes:
        name: as it is told.
        make: the file's bytes, from those of the original; None for the original itself.
        settings: of `rnnedge_runtime.load`.
        is_exact: whether it is the same function but for rounding.
    """

    name: str
    make: Callable[[bytes], bytes] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    is_exact: bool = True


def forms(
    options: TuneOptions, contract: Contract, usable_cores: int, against: Against | None
) -> Iterator[Form]:
    """Everything there is to try beside the file as it is.

    Args:
        options: what is asked for.
        contract: of the file.
        usable_cores: of the machine.
        against: the module that the file was made from; forms for one frame are written from it.
    """
    wanted = options.threads if options.threads is not None else (1, usable_cores)
    for threads in sorted(set(wanted) - {1}):
        yield Form(f"{threads} threads", settings={"threads": threads})
    if importlib.util.find_spec("rnnedge_exporters") is None:
        return  # other graphs are made by the exporters
    if against is not None and contract.chunk_most is None:
        yield Form("one frame", _of_one_frame(contract, against))
    if options.min_snr_db is not None:
        for name, given in QUANTISED.items():
            yield Form(name, _quantised(given), is_exact=False)


def with_source(data: bytes, contract: Contract) -> bytes:
    """The file with another contract, and nothing else changed."""
    model = onnx.load_model_from_string(data)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = contract.to_json()
    return bytes(model.SerializeToString(deterministic=True))


def _of_one_frame(contract: Contract, against: Against) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        from rnnedge.parity.verification import inputs_of
        from rnnedge_exporters.convert import DEFAULT_OPSET, convert

        source = contract.source
        return convert(
            against.module,
            inputs_of(contract),
            states=against.states or source.get("states", ()),
            opset=source.get("opset", DEFAULT_OPSET),
            one_frame=True,
            signal=contract.signal,
            checkpoint_sha256=source.get("checkpoint_sha256"),
        ).to_bytes()

    return make


def _quantised(given: dict[str, str]) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        from rnnedge_exporters.quantize import QuantizeOptions, quantize_model

        return quantize_model(data, QuantizeOptions(**given)).to_bytes()  # type: ignore[arg-type]

    return make
