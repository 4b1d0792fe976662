"""Gives the axes of a file's tensors their names: batch and time.

Rules:
    1. What the user says comes first; it may not contradict a size that the graph states.
    2. An axis whose symbol in the file is a usual word for one (``N``, ``batch_size``, ``seq_len``)
       is that.
    3. The one open axis of a state is the batch, if the inputs have a batch.
    4. Nothing else is guessed. All names are tried out afterwards by running the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.files import Declared, Original
from rnnedge_runtime.contract import BATCH, TIME, Dim
from rnnedge_runtime.dims import dim_factor, split_dim

_WORDS = {
    **dict.fromkeys(("batch", "batch_size", "batchsize", "bs", "b", "n"), BATCH),
    **dict.fromkeys(("time", "time_steps", "timesteps", "steps", "t", "l"), TIME),
    **dict.fromkeys(("seq", "seq_len", "seq_length", "sequence", "sequence_length"), TIME),
    **dict.fromkeys(("frames", "n_frames", "num_frames", "samples", "n_samples"), TIME),
    **dict.fromkeys(("len", "length", "chunk", "chunk_size"), TIME),
}


@dataclass(frozen=True)
class Named:
    """An input with named axes.

    Attributes:
        name: in the graph.
        dtype: numpy's name.
        shape: as the contract will have it: a frame is `frame` entries of the time axis.
        time_axis: where time lies, if anywhere.
        frame: entries of the time axis per frame.
        context: entries that the graph wants before the frames, again and again.
        is_fixed: whether the graph takes exactly one frame in each run.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    time_axis: int | None
    frame: int
    context: int
    is_fixed: bool

    def sizes(self, batch: int, frames: int) -> tuple[int, ...]:
        """The shape in numbers, context left out."""
        return tuple(
            d if isinstance(d, int) else dim_factor(d, BATCH) * batch + dim_factor(d, TIME) * frames
            for d in self.shape
        )


def name_input(
    original: Original, name: str, axes: Mapping[str, tuple[Dim, ...]], context: int
) -> Named:
    """Names the axes of a data input.

    Raises:
        AdoptionError: an axis stays without a meaning, or contradicts the graph.
    """
    port = original.inputs[name]
    given = _given(port, axes, original)
    dims = port.shape or given
    shape = tuple(_one(port, i, d, given, original) for i, d in enumerate(dims or ()))
    places = [i for i, dim in enumerate(shape) if dim_factor(dim, TIME)]
    time_axis = places[0] if places else None
    if time_axis is None:
        if context:
            raise AdoptionError(
                f"{name!r} has no time axis, so there is nothing to come before a frame",
                where=f"--context {name}={context}",
                fix=f"say which axis is time: {_say(port)}",
            )
        return Named(name, port.dtype, shape, None, 1, 0, is_fixed=False)
    frame = dim_factor(shape[time_axis], TIME)
    declared = None if port.shape is None else port.shape[time_axis]
    if isinstance(declared, int) and declared != frame + context:
        raise AdoptionError(
            f"axis {time_axis} takes {declared} entries in each run; a frame of {frame} with a "
            f"context of {context} gives {frame + context}",
            where=f"input {name!r}, {port}",
            fix=f"write {declared - context}*time for that axis in --axes"
            if declared > context
            else "give a smaller --context",
        )
    return Named(name, port.dtype, shape, time_axis, frame, context, isinstance(declared, int))


def name_state(
    original: Original, name: str, axes: Mapping[str, tuple[Dim, ...]], *, has_batch: bool
) -> tuple[Dim, ...]:
    """Names the axes of a state.

    Raises:
        AdoptionError: an axis stays without a meaning, contradicts the graph, or is time.
    """
    port = original.inputs[name]
    given = _given(port, axes, original)
    dims = port.shape or given or ()
    is_open = [not isinstance(dim, int) for dim in dims]
    shape: list[Dim] = []
    for index, dim in enumerate(dims):
        if given is None and is_open[index] and has_batch and sum(is_open) == 1:
            shape.append(BATCH)
        else:
            shape.append(_one(port, index, dim, given, original))
    for dim in shape:
        if dim_factor(dim, TIME):
            raise AdoptionError(
                "a state has no time axis: its size may not change from run to run",
                where=f"state {name!r}, {port}",
                fix="name that axis by its size: " + _say(port),
            )
    return tuple(shape)


def _given(
    port: Declared, axes: Mapping[str, tuple[Dim, ...]], original: Original
) -> tuple[Dim, ...] | None:
    given = axes.get(port.name)
    if given is None and port.shape is None:
        raise AdoptionError(
            f"the file does not say how many axes {port.name!r} has",
            where=f"{port.name!r}, {original.path}",
            fix=f"name them: {_say(port)}",
        )
    if given is not None and port.shape is not None and len(given) != len(port.shape):
        raise AdoptionError(
            f"{len(given)} axes are named, the graph has {len(port.shape)}: {port}",
            where=f"--axes {port.name}",
            fix=f"name every axis: {_say(port)}",
        )
    return given


def _one(
    port: Declared,
    index: int,
    declared: int | str | None,
    given: tuple[Dim, ...] | None,
    original: Original,
) -> Dim:
    if given is not None:
        _check_given(port, index, declared, given[index])
        return given[index]
    if isinstance(declared, int):
        return declared
    word = _WORDS.get((declared or "").lower())
    if word is None:
        raise AdoptionError(
            f"axis {index} of {port.name!r} is "
            + ("open" if declared is None else f"called {declared!r}")
            + ", which does not say whether it is the batch or time",
            where=f"{port.name!r}, {port}, {original.path}",
            fix=f"name the axes: {_say(port)}",
        )
    return word


def _check_given(port: Declared, index: int, declared: int | str | None, given: Dim) -> None:
    if not isinstance(declared, int) or declared == given:
        return
    if isinstance(given, str) and split_dim(given)[1] == TIME:
        return  # one frame per run: compared with frame and context later
    raise AdoptionError(
        f"axis {index} of {port.name!r} is {declared} in the graph, and {given} in --axes",
        where=f"--axes {port.name}",
        fix=f"write {declared} there: the graph takes no other size",
    )


def _say(port: Declared) -> str:
    dims = port.shape or ("batch", "time", 80)
    shown = ", ".join("batch|time|SIZE" if not isinstance(dim, int) else str(dim) for dim in dims)
    return f'--axes "{port.name}: {shown}"'
