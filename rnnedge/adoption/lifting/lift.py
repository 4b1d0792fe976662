"""Lift: gives states to a file that forgets everything between runs.

Steps:
    1. Every value of the graph is followed along time, and along the batch (`analysis`); what is
       not known to work in chunks is refused by name. Nothing is decided from numbers.
    2. Recurrences over time and padding of the past become states (`states`, `edit`).
    3. The result runs beside the original (`rnnedge.adoption.trial`): only then it is given out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx

from rnnedge.adoption.drive import HandDriver
from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.files import Declared, Original, open_session, read_original
from rnnedge.adoption.lifting.analysis import check_outputs, follow
from rnnedge.adoption.lifting.edit import keep_states
from rnnedge.adoption.lifting.flows import Flow, Found
from rnnedge.adoption.lifting.places import OddShapeError
from rnnedge.adoption.lifting.states import Kept, StateMaker
from rnnedge.adoption.lifting.symbols import B, Shapes, T, infer_shapes
from rnnedge.adoption.lifting.values import Values
from rnnedge.adoption.naming import Named, name_input
from rnnedge.adoption.ports import port_of
from rnnedge.adoption.result import Adopted, proven, with_contract
from rnnedge.adoption.rewrite import value_info
from rnnedge.adoption.trial import FRAMES, TOLERANCE, Trial
from rnnedge_runtime import load
from rnnedge_runtime.contract import BATCH, TIME, Contract, Dim, Signal, dim_factor

Choose: TypeAlias = Callable[[Sequence[Kept]], Sequence[Kept]]


@dataclass(frozen=True)
class LiftOptions:
    """What a user says about the file.

    Attributes:
        axes: named axes of inputs, where the file's own names do not tell.
        signal: how frames relate to samples.
        seed: of the trial's random signals.
    """

    axes: Mapping[str, tuple[Dim, ...]] = field(default_factory=dict)
    signal: Signal | None = None
    seed: int = 0


def lift(path: Path, options: LiftOptions, *, choose: Choose = lambda kept: kept) -> Adopted:
    """Gives states to a file.

    Args:
        path: the file; it is not changed.
        options: what the user says about it.
        choose: picks the states that are added, of those found. With any left out the proof fails.

    Raises:
        ModelFileError: the file is missing or is not ONNX.
        AdoptionError: something in it is not known to work in chunks, or it has nothing to keep.
    """
    found = read_original(path)
    original = _freed(found, options.axes)
    inputs = [_input(original, name, options.axes) for name in original.inputs]
    model = original.copy()
    _declare(model.graph, inputs)
    shapes = infer_shapes(model, str(path))
    values = Values(model, str(path))
    has_batch = any(dim_factor(dim, BATCH) for port in inputs for dim in port.shape)
    flows, kept_in = _follow(model, shapes, values, T, original)
    check_outputs(model, flows, str(path))
    rows: dict[str, Flow] = {}
    if has_batch:
        rows, _ = _follow(model, shapes, values, B, original)
        check_outputs(model, rows, str(path))
    samples = {
        batch: {port.name: np.zeros(port.sizes(batch, 2), port.dtype) for port in inputs}
        for batch in ((1, 3) if has_batch else (1,))
    }
    maker = StateMaker(shapes, values, rows, samples, str(path))
    kept = choose(_kept(kept_in, maker, original))
    lifted = _lifted(model, kept, shapes, inputs)
    contract = Contract(
        mode="stream",
        inputs=tuple(port_of(p.name, p.dtype, p.shape) for p in inputs),
        outputs=tuple(
            port_of(name, port.dtype, _dims(shapes.of(name), name, str(path)))
            for name, port in original.outputs.items()
        ),
        states=tuple(item.state for item in kept),
        source={"lifted": path.name, "sha256": original.sha256},
        signal=options.signal,
    )
    return _tried(original, inputs, lifted, contract, maker.tensors, options.seed)


def _freed(original: Original, axes: Mapping[str, tuple[Dim, ...]]) -> Original:
    """Sizes of inputs that the export fixed, and the user calls batch or time, are open."""
    model = original.copy()
    inputs = dict(original.inputs)
    for name, shape in axes.items():
        if name not in inputs:
            raise AdoptionError(
                f"{name!r} is none of the inputs",
                where=f"--axes {name}, {original.path}",
                fix=f"the inputs are: {', '.join(inputs)}",
            )
        port = inputs[name]
        declared = port.shape or shape
        if len(declared) == len(shape):
            opened = tuple(
                None if isinstance(given, str) else size
                for given, size in zip(shape, declared, strict=True)
            )
            inputs[name] = Declared(name, port.dtype, opened)
    for value in model.graph.input:
        if value.name in axes and value.name in inputs:
            value.CopyFrom(
                value_info(value.name, inputs[value.name].dtype, inputs[value.name].shape or ())
            )
    for value in model.graph.output:
        if axes:
            value.type.tensor_type.ClearField("shape")
    if axes:
        del model.graph.value_info[:]
    return replace(original, model=model, inputs=inputs)


def _input(original: Original, name: str, axes: Mapping[str, tuple[Dim, ...]]) -> Named:
    port = name_input(original, name, axes, 0)
    for dim in port.shape:
        if isinstance(dim, str) and dim not in (BATCH, TIME):
            raise AdoptionError(
                f"{dim!r}: lift follows single frames and rows only",
                where=f"--axes {name}, {original.path}",
                fix=f"write {BATCH!r} and {TIME!r}; a file that takes many samples per run, and "
                "gives its states back, is one for `rnnedge adopt`",
            )
    return port


def _declare(graph: onnx.GraphProto, inputs: Sequence[Named]) -> None:
    named = {port.name: port for port in inputs}
    if all(port.time_axis is None for port in inputs):
        raise AdoptionError(
            "no input has a time axis, and a stream needs one",
            where=f"inputs {', '.join(named)}",
            fix='say where time lies: --axes "INPUT: batch, time, 80"',
        )
    for value in graph.input:
        if value.name in named:
            port = named[value.name]
            value.CopyFrom(value_info(port.name, port.dtype, list(port.shape)))


def _follow(
    model: onnx.ModelProto, shapes: Shapes, values: Values, symbol: Any, original: Original
) -> tuple[dict[str, Flow], Found]:
    where = str(original.path)
    try:
        return follow(model, shapes, values, symbol, original.opset, where)
    except OddShapeError as error:
        raise AdoptionError(
            f"an input cannot be followed: {error}",
            where=where,
            fix='name its axes: --axes "INPUT: batch, time, 80"',
        ) from error


def _kept(found: Found, maker: StateMaker, original: Original) -> list[Kept]:
    kept = [item for node in found.recurrences for item in maker.of_recurrence(node)]
    kept += [maker.of_context(context) for context in found.contexts]
    if not kept:
        raise AdoptionError(
            "there is nothing to keep: no recurrence over time, and no padding of the past",
            where=str(original.path),
            fix="if the file takes and gives back its states, use `rnnedge adopt`; a file that "
            "works frame by frame needs no state",
        )
    return kept


def _lifted(
    model: onnx.ModelProto, kept: Sequence[Kept], shapes: Shapes, inputs: Sequence[Named]
) -> onnx.ModelProto:
    lifted = onnx.ModelProto()
    lifted.CopyFrom(model)
    del lifted.graph.value_info[:]
    for value in lifted.graph.output:
        dims = [str(size) if size is not None else None for size in shapes.of(value.name) or ()]
        shape = [int(d) if d is not None and d.isdigit() else d for d in dims]
        value.CopyFrom(value_info(value.name, shapes.dtypes[value.name], shape))
    keep_states(lifted, kept)
    return lifted


def _dims(sizes: tuple[Any, ...] | None, name: str, where: str) -> tuple[Dim, ...]:
    dims: list[Dim] = []
    for size in sizes or ():
        for symbol, word in ((T, TIME), (B, BATCH)):
            if size is not None and (size / symbol).is_Integer:
                dims.append(word if size == symbol else f"{size / symbol}*{word}")
                break
        else:
            if size is None or not size.is_Integer:
                raise AdoptionError(
                    f"output {name!r} has an axis of size {size}",
                    where=f"output {name!r}, {where}",
                    fix="leave it out of the export, or give its batch and time axes of their own",
                )
            dims.append(int(size))
    return tuple(dims)


def _tried(
    original: Original,
    inputs: Sequence[Named],
    lifted: onnx.ModelProto,
    contract: Contract,
    tensors: Mapping[str, str],
    seed: int,
) -> Adopted:
    where = str(original.path)
    data = with_contract(lifted, contract, tensors, where)
    session = open_session(original.model.SerializeToString(), where)
    has_batch = any(port.batch_axis is not None for port in contract.inputs)
    trial = Trial(
        load(data),
        HandDriver(session, inputs, {}, {}, where),
        {},
        one_by_one=False,
        batches=(1, 2, 3) if has_batch else (1,),
        seed=seed,
        where=where,
        frames=_frames(contract),
    )
    checks = trial.run()
    settings = {
        "seed": seed, "frames": trial.frames, "batches": list(trial.batches),
        "tolerance": TOLERANCE,
    }  # fmt: skip
    contract = proven(contract, checks, settings)
    return Adopted(with_contract(lifted, contract, tensors, where), contract, checks)


def _frames(contract: Contract) -> int:
    """A signal that fills every context twice."""
    contexts = [
        dim
        for state in contract.states
        if state.kind == "context"
        for dim in state.shape
        if isinstance(dim, int)
    ]
    return min(max([FRAMES, *(2 * size for size in contexts)]), 512)
