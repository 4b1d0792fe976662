"""Does the graph keep its contract? Names, element types and ranks, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnxruntime as ort

from rnnedge_runtime.arrays import shape_text
from rnnedge_runtime.contract import (
    METADATA_KEY,
    TIME,
    Contract,
    Dim,
    Port,
    State,
    dim_factor,
    read,
)
from rnnedge_runtime.errors import ContractError

_ORT_TYPES = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
}


def contract_of(metadata: dict[str, str], where: str) -> Contract:
    """Reads the contract out of a file's metadata.

    Raises:
        ContractError: there is none, or it is damaged.
    """
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise ContractError(
            "the model carries no contract, so that its states are unknown",
            where=where,
            fix="export it with `rnnedge export`; for an ONNX file that someone else made, "
            "write the contract with `rnnedge adopt`",
        )
    return read(text)


def check_agreement(contract: Contract, session: ort.InferenceSession, where: str) -> None:
    """Checks that the graph has the tensors that the contract names, and no others.

    Raises:
        ContractError: a name, an element type, a rank or a size differs.
    """
    _check_side("input", contract, dict(_sources(contract)), session.get_inputs(), where)
    _check_side("output", contract, dict(_results(contract)), session.get_outputs(), where)


def _sources(contract: Contract) -> Iterator[tuple[str, Port | State]]:
    for port in contract.inputs:
        yield port.name, port
    for state in contract.states:
        yield state.input, state


def _results(contract: Contract) -> Iterator[tuple[str, Port | State]]:
    for port in contract.outputs:
        yield port.name, port
    for state in contract.states:
        yield state.output, state


def _check_side(
    side: str,
    contract: Contract,
    promised: dict[str, Port | State],
    nodes: Sequence[ort.NodeArg],
    where: str,
) -> None:
    found = {node.name: node for node in nodes}
    absent = [name for name in promised if name not in found]
    if absent:
        raise _broken(f"the graph has no {side} {absent[0]!r}", where, f"{side}s of the graph")
    # An undeclared tensor is most often a state that would be lost from run to run.
    extra = [name for name in found if name not in promised]
    if extra:
        raise _broken(
            f"the graph's {side} {extra[0]!r} is not in the contract",
            where,
            f"{side}s of the graph",
        )
    for name, tensor in promised.items():
        _check_node(side, tensor, _shape(tensor, contract), found[name], where)


def _shape(tensor: Port | State, contract: Contract) -> list[Dim]:
    """Runs that take one number of frames only may have it in the graph's shapes."""
    dims, frames = list(tensor.shape), contract.chunk_most
    if frames is None or frames != contract.chunk_multiple or isinstance(tensor, State):
        return dims
    if (axis := tensor.time_axis) is not None:
        dims[axis] = int(dim_factor(dims[axis], TIME) * frames * tensor.ratio)
    return dims


def _check_node(
    side: str, tensor: Port | State, shape: Sequence[Dim], node: ort.NodeArg, where: str
) -> None:
    place = f"{side} {node.name!r}"
    found_type = _numpy_name(node.type)
    if found_type != tensor.dtype:
        raise _broken(f"the contract says {tensor.dtype}, the graph {found_type}", where, place)
    # onnxruntime reports an unknown shape like a scalar's, as [].
    if not node.shape:
        return
    dims = list(node.shape)
    fits = len(dims) == len(shape) and all(map(_fits, shape, dims))
    if not fits:
        shown = ", ".join("?" if dim is None else str(dim) for dim in dims)
        raise _broken(f"the contract says {shape_text(tensor)}, the graph [{shown}]", where, place)


def _fits(promised: Dim, found: Dim | None) -> bool:
    """A size in the graph must be the contract's; a symbol there may be anything."""
    return not isinstance(found, int) or promised == found


def _numpy_name(ort_type: str) -> str:
    """``tensor(float)`` is ``float32``; ``tensor(int64)`` is ``int64``."""
    return _ORT_TYPES.get(ort_type, ort_type.removeprefix("tensor(").removesuffix(")"))


def _broken(what: str, where: str, place: str) -> ContractError:
    return ContractError(
        f"the graph does not keep its contract: {what}",
        where=f"{place}, {where}",
        fix="export the model again, or write a new contract with `rnnedge adopt`",
    )
