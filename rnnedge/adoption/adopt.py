"""Adopt: writes a contract into a file that has states, once what was said is proved by running.

Steps:
    1. The state pairs are held against the graph (`pairs`), the axes are named (`naming`).
    2. Inputs that never change are stored (`freeze`); a context that the user would have to join by
       hand becomes a state (`context`).
    3. A file that takes exactly one frame per run is repeated over the frames (`repeat`).
    4. The result runs beside the original (`trial`). Only then it gets its contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnedge.adoption.context import add_context
from rnnedge.adoption.drive import Arrays, HandDriver
from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.files import Original, open_session, read_original
from rnnedge.adoption.freeze import freeze
from rnnedge.adoption.measure import measure_outputs
from rnnedge.adoption.pairs import check_pairs
from rnnedge.adoption.plan import AdoptOptions, Plan, make_plan
from rnnedge.adoption.ports import port_of
from rnnedge.adoption.repeat import Stacked, repeat_frames
from rnnedge.adoption.result import Adopted, proven, with_contract
from rnnedge.adoption.signals import random_array, sizes_of
from rnnedge.adoption.trial import FRAMES, TOLERANCE, Trial
from rnnedge_runtime import load
from rnnedge_runtime.contract import BATCH, TIME, Contract, Dim, dim_factor

_LENGTHS = (3, 5)


def adopt(path: Path, options: AdoptOptions) -> Adopted:
    """Writes a contract for a stateful file.

    Args:
        path: the file; it is not changed.
        options: what the user says about it.

    Raises:
        ModelFileError: the file is missing or is not ONNX.
        AdoptionError: something that was said does not hold, or is missing.
    """
    original = read_original(path)
    check_pairs(original, options.states)
    plan = make_plan(original, options)
    session = open_session(original.model.SerializeToString(), str(path))
    driver = HandDriver(session, plan.inputs, options.states, plan.frozen, str(path))
    work = _Work(original, options, plan, driver)
    is_fixed = any(port.is_fixed for port in plan.inputs)
    if not is_fixed:
        try:
            return work.attempt(one_by_one=False)
        except AdoptionError:
            # "512*time" may mean that a run of 1,024 is two frames, or that there is no such run.
            if all(port.frame == 1 for port in plan.inputs):
                raise
    return work.attempt(one_by_one=True)


@dataclass(frozen=True)
class _Work:
    original: Original
    options: AdoptOptions
    plan: Plan
    driver: HandDriver

    def attempt(self, *, one_by_one: bool) -> Adopted:
        """Makes the file and tries it.

        Args:
            one_by_one: the original takes exactly one frame in each run.
        """
        plan, path = self.plan, str(self.original.path)
        frames = (1,) if one_by_one else _LENGTHS
        self._check_next_shapes(frames[0])
        measured = measure_outputs(
            self._outputs, has_batch=plan.has_batch, frames=frames, where=path
        )
        dtypes = {name: self.original.outputs[name].dtype for name in measured}
        stacked = [self._stack(name, shape) for name, shape in measured.items()]
        model = self.original.copy()
        freeze(model, plan.frozen)
        contexts = [add_context(model, port) for port in plan.inputs if port.context]
        states = (*plan.states, *contexts)
        if one_by_one:
            repeat_frames(model, plan.inputs, states, stacked, dtypes)
            measured = {s.name: _stacked_shape(s, measured[s.name]) for s in stacked}
        for name, shape in measured.items():
            self._check_given(name, shape)
        contract = Contract(
            mode="stream",
            inputs=tuple(port_of(p.name, p.dtype, p.shape) for p in plan.inputs),
            outputs=tuple(port_of(n, dtypes[n], shape) for n, shape in measured.items()),
            states=states,
            source={"adopted": self.original.path.name, "sha256": self.original.sha256},
            signal=self.options.signal,
        )
        data = with_contract(model, contract, plan.tensors, path)
        trial = Trial(
            load(data), self.driver, self.options.states, one_by_one, plan.batches,
            self.options.seed, path,
        )  # fmt: skip
        checks = trial.run()
        settings = {
            "seed": self.options.seed, "frames": FRAMES, "batches": list(plan.batches),
            "tolerance": TOLERANCE,
        }  # fmt: skip
        contract = proven(contract, checks, settings)
        data = with_contract(model, contract, plan.tensors, path)
        return Adopted(data, contract, checks, tuple(self._notes(one_by_one)))

    def _check_next_shapes(self, frames: int) -> None:
        """What comes out as a state has to be able to go in again."""
        for batch in self.plan.batches[:2]:
            states = self._states(batch)
            found = self.driver.drive(self._inputs(batch, frames), states, [frames]).states
            for source, after in found.items():
                if after.shape != states[source].shape:
                    raise AdoptionError(
                        f"the next value of {source!r} has shape {list(after.shape)}, the state "
                        f"itself {list(states[source].shape)}: it cannot be fed back",
                        where=f"--state {source}={self.options.states[source]}, "
                        f"{self.original.path}",
                        fix="name another output, or the state's axes with --axes; a state that "
                        "grows with time cannot stream",
                    )

    def _outputs(self, batch: int, frames: int) -> Mapping[str, np.ndarray]:
        driven = self.driver.drive(self._inputs(batch, frames), self._states(batch), [frames])
        return driven.outputs[0]

    def _inputs(self, batch: int, frames: int) -> Arrays:
        random = np.random.default_rng(self.options.seed)
        return {
            port.name: random_array(random, port.dtype, port.sizes(batch, frames))
            for port in self.plan.inputs
        }

    def _states(self, batch: int) -> Arrays:
        return {
            state.input: np.zeros(sizes_of(state, batch, 1), state.dtype)
            for state in self.plan.states
        }

    def _stack(self, name: str, shape: tuple[Dim, ...]) -> Stacked:
        """Where the frames of an output lie once they are stacked: as the user says."""
        given = self.options.axes.get(name, ())
        axis = next((i for i, dim in enumerate(given) if dim_factor(dim, TIME)), None)
        if axis is not None and axis < len(shape) and len(given) == len(shape):
            return Stacked(name, axis, joined=True)
        batch = next((i for i, dim in enumerate(shape) if dim_factor(dim, BATCH)), None)
        return Stacked(name, 0 if batch is None else batch + 1, joined=False)

    def _check_given(self, name: str, shape: tuple[Dim, ...]) -> None:
        given = self.options.axes.get(name)
        if given is not None and given != shape and TIME in "".join(map(str, given)):
            raise AdoptionError(
                f"output {name!r} has axes {_shown(shape)} when it is run, and {_shown(given)} in "
                "--axes",
                where=f"--axes {name}, {self.original.path}",
                fix=f'leave it away, or write "{name}: {_shown(shape)}"',
            )

    def _notes(self, one_by_one: bool) -> list[str]:
        notes = [
            f"{port.name}: the last {port.context} entries come again before the next frame"
            for port in self.plan.inputs
            if port.context
        ]
        if one_by_one:
            notes.append("the graph takes one frame per run; a Scan repeats it over the frames")
        return notes


def _stacked_shape(stacked: Stacked, shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    if not stacked.joined:
        return (*shape[: stacked.axis], TIME, *shape[stacked.axis :])
    size = shape[stacked.axis]
    return tuple(
        (TIME if size == 1 else f"{size}*{TIME}") if axis == stacked.axis else dim
        for axis, dim in enumerate(shape)
    )


def _shown(shape: tuple[Dim, ...]) -> str:
    return ", ".join(map(str, shape))
