"""What adopting or lifting gives: a file's bytes, its contract, and what was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx
from onnx import helper

from rnnedge.adoption.errors import AdoptionError
from rnnedge_runtime.contract import METADATA_KEY, TENSOR_KEY_PREFIX, Contract


@dataclass(frozen=True)
class Check:
    """One question that running the file answered with yes.

    Attributes:
        name: the question.
        detail: what was compared, and the largest difference.
    """

    name: str
    detail: str


@dataclass(frozen=True)
class Adopted:
    """A file that now carries a contract.

    Attributes:
        model: the ONNX file's bytes.
        contract: what it promises.
        checks: what was found by running it beside the original.
        notes: what a person should know: what was added to the graph, and why.
    """

    model: bytes
    contract: Contract
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()


def with_contract(
    model: onnx.ModelProto, contract: Contract, tensors: Mapping[str, str], where: str
) -> bytes:
    """The model's bytes with the contract in its metadata; an older contract is replaced.

    Args:
        model: is changed.
        contract: to store.
        tensors: stored initial values, base64, by metadata key.
        where: the file, for errors.

    Raises:
        AdoptionError: the model is too large for one file.
    """
    kept = {
        entry.key: entry.value
        for entry in model.metadata_props
        if entry.key != METADATA_KEY and not entry.key.startswith(TENSOR_KEY_PREFIX)
    }
    helper.set_model_props(model, kept | {METADATA_KEY: contract.to_json()} | dict(tensors))
    try:
        data: bytes = model.SerializeToString()
    except ValueError as error:  # protobuf's limit
        raise AdoptionError(
            "the model with its weights is larger than the 2 GB that one ONNX file can hold",
            where=where,
            fix="store its weights in half precision, or quantised",
        ) from error
    return data


def proven(contract: Contract, checks: tuple[Check, ...], settings: Mapping[str, Any]) -> Contract:
    """The contract with what was checked in its `parity` field."""
    evidence = {
        "passed": True,
        "against": "the original file, driven by hand on onnxruntime",
        "checks": [{"name": c.name, "passed": True, "detail": c.detail} for c in checks],
        "settings": dict(settings),
    }
    return replace(contract, parity=evidence)
