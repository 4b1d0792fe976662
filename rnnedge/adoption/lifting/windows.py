"""Operators that see several frames of time: convolutions, padding, slices, joins.

A frame of the result is numbered after the last frame that it needs. Then:

Rules:
    1. Padding the past by p moves the start p frames back. The frames made up become a context: a
       state that holds the last p frames of the run before.
    2. A window of k frames, d apart, moves the start (k - 1) * d frames on. A start above 0 would
       mean fewer results than frames, or results that wait for later frames: refused.
    3. Padding the end adds frames that mean nothing (`Place.excess`). They may be cut off again.
    4. A slice from s on moves the start s frames on, and may cut off what means nothing.
    5. Only a start of 0 without excess may be an output, or go into a recurrence.
    6. Where the last k frames of the signal itself are cut off, what is left comes k frames late:
       it is numbered anew, if enough frames of the past are there to begin with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnnedge.adoption.lifting.flows import Context, Flow, Kind, View
from rnnedge.adoption.lifting.places import OddShapeError, Place, axis_of, length_offset
from rnnedge.adoption.options import Array

_LOOK_AHEAD = (
    "pad the past only: (kernel - 1) * dilation frames on the left, none on the right; a PyTorch "
    "module that looks ahead may stream with `rnnedge export`"
)


def same_frames(view: View, places: Sequence[Place]) -> Place:
    """The place that all of these are.

    Raises:
        AdoptionError: they differ.
    """
    if not places:
        raise view.refuse("no input of it has frames, but its result has")
    if len(set(places)) > 1:
        raise view.refuse("its inputs have their frames on different axes or at different times")
    return places[0]


def convolution(view: View) -> list[Flow]:
    """Conv and ConvTranspose; their input is ``[batch, channels, *spatial]``."""
    if any(index for index, _ in view.placed()):
        raise view.refuse("its weights change along the signal")
    kernel = view.attribute("kernel_shape", None)
    if kernel is None:
        sizes = view.shape(1)[2:]
        if any(size is None or not size.is_Integer for size in sizes):
            raise view.refuse("the size of its kernel is not known")
        kernel = [int(size) for size in sizes]
    if view.node.op_type == "ConvTranspose" and _spatial(view) is not None:
        return _transposed(view, list(kernel))
    return _window(view, list(kernel))


def pool(view: View) -> list[Flow]:
    """Pools, which keep no context: a window of one frame only."""
    place = view.placed()[0][1]
    spatial = _spatial(view)
    kernel = list(view.attribute("kernel_shape", []))
    if spatial is not None and kernel[spatial] != 1:
        raise view.refuse(f"it takes {kernel[spatial]} frames together")
    if len(view.node.output) > 1:
        raise view.refuse("it gives indices")
    if spatial is not None and _conv_pads(view, spatial, len(kernel), 1) != (0, 0):
        raise view.refuse("it pads them")
    return _window(view, kernel) if spatial is not None else [_not_channels(view, place)]


def _spatial(view: View) -> int | None:
    axis = view.placed()[0][1].axis
    return axis - 2 if axis >= 2 else None


def _not_channels(view: View, place: Place) -> Place:
    if place.axis == 1 and view.node.op_type in ("Conv", "ConvTranspose"):
        raise view.refuse("they are its channels, which it sums up")
    return place


def _window(view: View, kernel: list[int]) -> list[Flow]:
    """Rules 1 to 3."""
    place, spatial = view.placed()[0][1], _spatial(view)
    if spatial is None:
        return [_not_channels(view, place)]
    rank = len(kernel)
    stride = list(view.attribute("strides", [1] * rank))[spatial]
    dilation = list(view.attribute("dilations", [1] * rank))[spatial]
    past, future = _conv_pads(view, spatial, rank, kernel[spatial])
    span = (kernel[spatial] - 1) * dilation
    if not view.over_time and (span or past or future):
        raise view.refuse("its window covers several rows")
    if stride != 1:
        raise view.refuse(f"it gives one frame for {stride}: its rate changes")
    if (span or past or future) and place.is_folded:
        raise view.refuse("its window covers an axis in which time is folded with another")
    if past:
        _keep(view, place, Context(view.node, view.name(0), place.axis, past))
    start = place.start - past + span
    if start > 0:
        raise view.refuse(
            f"its window of {kernel[spatial]} frames looks ahead, or its past is not padded: "
            f"{past} frames before the signal, {span} needed",
            _LOOK_AHEAD,
        )
    return [replace(place, start=start, excess=place.excess + future)]


def _transposed(view: View, kernel: list[int]) -> list[Flow]:
    place, spatial = view.placed()[0][1], _spatial(view)
    assert spatial is not None  # noqa: S101 - the caller asked
    rank = len(kernel)
    stride = list(view.attribute("strides", [1] * rank))[spatial]
    past, future = _conv_pads(view, spatial, rank, kernel[spatial])
    added = list(view.attribute("output_padding", [0] * rank))[spatial]
    sized = view.attribute("output_shape", None)
    if kernel[spatial] != 1 or stride != 1 or past or future or added or sized:
        raise view.refuse("it spreads a frame over several")
    return [place]


def _conv_pads(view: View, spatial: int, rank: int, kernel: int) -> tuple[int, int]:
    auto = str(view.attribute("auto_pad", "NOTSET"))
    if auto.startswith("SAME") and kernel > 1:
        raise view.refuse(f"auto_pad {auto} pads its window as the length comes out", _LOOK_AHEAD)
    pads = list(view.attribute("pads", [0] * (2 * rank)))
    return (pads[spatial], pads[spatial + rank]) if auto == "NOTSET" else (0, 0)


def _keep(view: View, place: Place, context: Context) -> None:
    """Rule 1."""
    if not place.is_plain:
        raise view.refuse("it pads what was padded already")
    view.found.contexts.append(context)


def pad(view: View) -> list[Flow]:
    """Pad on the axis of time: of the past, or of what is cut off again."""
    place = view.placed()[0][1]
    rank = len(view.shape(0))
    pads = view.whole_numbers("pads", 1)
    if pads is None:
        raise view.refuse("its pads are missing")
    axes = _pad_axes(view, rank)
    if place.axis not in axes:
        return [place]
    index = axes.index(place.axis)
    past, future = pads[index], pads[index + len(axes)]
    if past == future == 0:
        return [place]
    if not view.over_time or place.is_folded:
        raise view.refuse("it adds entries between them")
    mode = str(view.attribute("mode", "constant"))
    if mode != "constant":
        raise view.refuse(
            f"it pads time by {mode}, with frames that only the start of the signal has"
        )
    if past > 0:
        pads[index] = 0
        context = Context(view.node, view.name(0), place.axis, past, _pad_value(view))
        _keep(view, place, replace(context, pads=tuple(pads)))
    return [_renumbered(view, place, place.start - past, place.excess + future)]


def _pad_axes(view: View, rank: int) -> list[int]:
    if not view.name(3):
        return list(range(rank))
    axes = view.values.constant(view.name(3))
    if axes is None:
        raise view.refuse("its axes are computed anew in each run")
    return [int(axis) % rank for axis in axes]


def _pad_value(view: View) -> float:
    if not view.name(2):
        return 0.0
    value = view.values.constant(view.name(2))
    if value is None:
        raise view.refuse("what it pads with is computed anew in each run")
    return float(value.reshape(-1)[0])


def slice_(view: View) -> list[Flow]:
    """Rule 4; and the last frame alone, which is known at the end of each run."""
    placed = view.placed()
    if [index for index, _ in placed] != [0]:
        raise view.refuse("its bounds change along the signal")
    if view.flow(1) is Kind.SIZES:
        raise view.refuse("where it begins is computed anew in each run")
    place, rank = placed[0][1], len(view.shape(0))
    index = _slice_index(view, place.axis, rank)
    if index is None:
        return [place]
    starts, steps = view.whole_numbers("starts", 1), view.whole_numbers("steps", 4)
    if starts is None or (steps and steps[index] != 1):
        raise view.refuse("it takes every so many of them, or turns them round")
    if starts[index] == 0 and view.shape(0)[place.axis] == view.result_shape()[place.axis]:
        return [place]
    if not view.over_time or place.is_folded:
        raise view.refuse("it picks some of them by number")
    return [_cut(view, place, starts[index])]


def _cut(view: View, place: Place, start: int) -> Flow:
    after = view.result_shape()
    if start == -1 and after[place.axis] == 1 and place.excess == 0:
        return Kind.LATEST
    try:
        if axis_of(after, view.symbol) != place.axis:
            raise OddShapeError
        offset = length_offset(after[place.axis], view.symbol)
    except OddShapeError as error:
        raise view.refuse("it picks some of them by number") from error
    moved = place.start + start
    if start < 0 or offset + moved > place.excess:
        raise view.refuse("it picks some of them by number")
    return _renumbered(view, place, moved, offset + moved)


def _renumbered(view: View, place: Place, start: int, excess: int) -> Place:
    """Rule 6."""
    late = max(0, -excess)
    if start + late > 0:
        raise view.refuse("it cuts off frames of the signal")
    return replace(place, start=start + late, excess=excess + late)


def _slice_index(view: View, axis: int, rank: int) -> int | None:
    """Which of the slice's bounds belong to `axis`, if any."""
    axes = view.whole_numbers("axes", 3)
    if axes is None:
        count = len(view.shape(1)) and view.shape(1)[0]
        axes = list(range(int(count))) if count else list(range(rank))
    wanted = [a % rank for a in axes]
    return wanted.index(axis) if axis in wanted else None


def is_last(view: View, place: Place, index: Array) -> bool:
    """Whether the one index of a Gather is the last frame of the signal so far."""
    return index.ndim == 0 and int(index) == -1 and place.excess == 0 and not place.is_folded


def concat_frames(view: View) -> list[Flow]:
    """Frames that do not depend on the signal, joined on before it, are padding of the past."""
    names = [name for name in view.node.input if name]
    flows = [view.flow(i) for i in range(len(names))]
    is_padding = (
        view.over_time
        and len(names) == 2
        and not isinstance(flows[0], Place)
        and isinstance(flows[1], Place)
        and not flows[1].is_folded
        and view.values.depends_on_signal(names[0]) is None
    )
    if not is_padding:
        raise view.refuse("it joins others on before or after them")
    place = flows[1]
    assert isinstance(place, Place)  # noqa: S101 - asked above
    size = view.shape(0)[place.axis]
    if size is None or not size.is_Integer:
        raise view.refuse("how many frames it joins on is not known")
    _keep(view, place, Context(view.node, names[1], place.axis, int(size), initial=names[0]))
    return [replace(place, start=place.start - int(size))]
