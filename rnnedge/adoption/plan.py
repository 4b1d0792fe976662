"""What a user said about a file, put together: inputs with named axes, states with a start."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.files import Declared, Original, known
from rnnedge.adoption.freeze import fitted, frozen_values
from rnnedge.adoption.naming import Named, name_input, name_state
from rnnedge.adoption.options import Array, Value
from rnnedge.adoption.roles import role_of_input
from rnnedge_runtime.contract import (
    BATCH,
    TENSOR_KEY_PREFIX,
    Dim,
    Signal,
    State,
    StateKind,
    dim_factor,
)

_KINDS: Mapping[str, StateKind] = {"hidden": "hidden", "cell": "cell"}


@dataclass(frozen=True)
class AdoptOptions:
    """What a user says about the file.

    Attributes:
        states: outputs by input: ``{"h": "hn"}``.
        axes: named axes by tensor, where the file's own names do not tell.
        values: of inputs that never change, by input: ``{"sr": 16000}``.
        fills: initial value by state input, a number or an array; 0 where left out.
        contexts: by input: how many entries of the run before a run takes again, before its own.
        signal: how frames relate to samples.
        seed: of the trial's random signals.
    """

    states: Mapping[str, str]
    axes: Mapping[str, tuple[Dim, ...]] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    fills: Mapping[str, Value] = field(default_factory=dict)
    contexts: Mapping[str, int] = field(default_factory=dict)
    signal: Signal | None = None
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the file is run.

    Attributes:
        inputs: the data inputs.
        states: those of the user's pairs.
        tensors: stored initial values, base64, by metadata key.
        frozen: values of inputs that never change.
        has_batch: whether the inputs have a batch.
    """

    inputs: tuple[Named, ...]
    states: tuple[State, ...]
    tensors: dict[str, str]
    frozen: dict[str, Array]
    has_batch: bool

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of rows to try."""
        return (1, 2, 3) if self.has_batch else (1,)


def make_plan(original: Original, options: AdoptOptions) -> Plan:
    """Puts together what the user and the file say.

    Raises:
        AdoptionError: they contradict each other, or something is missing.
    """
    _check_names(original, options)
    frozen = frozen_values(original, options.values)
    inputs = tuple(
        name_input(original, name, options.axes, options.contexts.get(name, 0))
        for name in original.inputs
        if name not in options.states and name not in frozen
    )
    if all(port.time_axis is None for port in inputs):
        raise AdoptionError(
            "no input has a time axis, and a stream needs one",
            where=f"inputs {known([port.name for port in inputs])}, {original.path}",
            fix='say where time lies: --axes "INPUT: batch, time, 80", or "INPUT: batch, 512*time" '
            "if one run takes 512 samples",
        )
    has_batch = any(dim_factor(dim, BATCH) for port in inputs for dim in port.shape)
    tensors: dict[str, str] = {}
    states = []
    for source, result in options.states.items():
        shape = name_state(original, source, options.axes, has_batch=has_batch)
        state = _state(original, source, result, shape)
        states.append(_with_initial(state, options.fills.get(source, 0.0), tensors))
    return Plan(inputs, tuple(states), tensors, frozen, has_batch)


def _state(original: Original, source: str, result: str, shape: tuple[Dim, ...]) -> State:
    role = role_of_input(original.model.graph, source)
    kind = "user" if role is None else _KINDS[role.kind]
    axis = next((i for i, dim in enumerate(shape) if dim_factor(dim, BATCH)), None)
    dtype = original.inputs[source].dtype
    return State(source, source, result, dtype, shape, axis, kind)


def _with_initial(state: State, value: Value, tensors: dict[str, str]) -> State:
    where = f"--fill {state.input}"
    array = np.asarray(value)
    one_row = tuple(d if isinstance(d, int) else dim_factor(d, BATCH) for d in state.shape)
    port = Declared(state.input, state.dtype, one_row if array.ndim else ())
    exact = fitted(array, port, where)
    if array.ndim == 0:
        return replace(state, fill=float(exact))
    key = TENSOR_KEY_PREFIX + state.name
    little = exact.astype(exact.dtype.newbyteorder("<"))
    tensors[key] = base64.b64encode(little.tobytes()).decode()
    return replace(state, tensor=key)


def _check_names(original: Original, options: AdoptOptions) -> None:
    """Every name that the user gives has to be of the right kind."""
    states, data = set(options.states), set(original.inputs) - set(options.states)
    data -= set(options.values)
    everything = {*original.inputs, *original.outputs}
    for flag, names, allowed, kind in (
        ("--set", options.values, set(original.inputs) - states, "data inputs"),
        ("--fill", options.fills, states, "state inputs"),
        ("--context", options.contexts, data, "data inputs"),
        ("--axes", options.axes, everything, "inputs and outputs"),
    ):
        for name in names:
            if name not in allowed:
                raise AdoptionError(
                    f"{name!r} is none of the {kind}",
                    where=f"{flag} {name}, {original.path}",
                    fix=f"the {kind} are: {known(sorted(allowed))}",
                )
