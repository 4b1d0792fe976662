"""What each operator does to frames: the allow-list. What is not in it is refused.

Rules:
    1. Element by element: frames of all inputs lie on the same axis of the result.
    2. Other axes (softmax, sums, joins, slices, products over features): the frames' axis is not
       the operator's.
    3. Views: the elements keep their order, so the frames can be found again.
    4. Windows, padding, slices and recurrences over time: see `windows` and `recurrent`.

The same list serves the rows of a batch, which have no windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from rnnedge.adoption.lifting.flows import Flow, Kind, View
from rnnedge.adoption.lifting.places import OddShapeError, Place, place_after_view
from rnnedge.adoption.lifting.recurrent import recurrent
from rnnedge.adoption.lifting.windows import (
    concat_frames,
    convolution,
    is_last,
    pad,
    pool,
    same_frames,
    slice_,
)

Rule: TypeAlias = Callable[[View], list[Flow]]


def _elementwise(view: View) -> list[Flow]:
    """Rule 1, with numpy's broadcasting: axes are counted from the last."""
    rank = len(view.result_shape())
    places = [
        place.on(place.axis + rank - len(view.shape(index))) for index, place in view.placed()
    ]
    place = same_frames(view, places)
    for index in range(len(view.node.input)):
        if view.name(index) and not isinstance(view.flow(index), Place):
            _check_broadcast(view, index, place.axis - rank)
    return [place] * len(view.node.output)


def _check_broadcast(view: View, index: int, axis_from_end: int) -> None:
    shape = view.shape(index)
    if len(shape) >= -axis_from_end and shape[axis_from_end] != 1:
        raise view.refuse(
            f"its input {view.name(index)!r} has a value for each position along that axis"
        )


def _same_shape(view: View) -> list[Flow]:
    """The first input alone has frames, and the result its axes."""
    return [_only_first(view)] * len(view.node.output)


def _only_first(view: View) -> Place:
    placed = view.placed()
    if [index for index, _ in placed] != [0]:
        raise view.refuse("more than its first input changes along the signal")
    return placed[0][1]


def _along_axis(default: int) -> Rule:
    def rule(view: View) -> list[Flow]:
        place = _only_first(view)
        if _axis(view, default, len(view.shape(0))) == place.axis:
            raise view.refuse("it runs along that axis")
        return [place] * len(view.node.output)

    return rule


def _axis(view: View, default: int, rank: int) -> int:
    return int(view.attribute("axis", default)) % rank


def _softmax(view: View) -> list[Flow]:
    place, rank = _only_first(view), len(view.shape(0))
    is_new = view.opset >= 13
    axis = _axis(view, -1 if is_new else 1, rank)
    if axis == place.axis or (not is_new and axis < place.axis):
        raise view.refuse("it weighs all of them against each other")
    return [place]


def _trailing(view: View) -> list[Flow]:
    place, rank = _only_first(view), len(view.shape(0))
    if place.axis >= _axis(view, -1, rank):
        raise view.refuse("it normalises over all of them")
    return [place] * len(view.node.output)


def _batch_norm(view: View) -> list[Flow]:
    place = _only_first(view)
    if place.axis == 1 or view.attribute("training_mode", 0):
        raise view.refuse("it treats each position along that axis in its own way")
    return [place]


def _samples_norm(view: View) -> list[Flow]:
    place = _only_first(view)
    if place.axis != 0:
        raise view.refuse("it normalises over all of them")
    return [place]


def _reduce(view: View) -> list[Flow]:
    place, rank = _only_first(view), len(view.shape(0))
    axes = view.whole_numbers("axes", 1)
    if axes is None and view.attribute("noop_with_empty_axes", 0):
        return [place]
    dropped = range(rank) if axes is None else sorted(axis % rank for axis in axes)
    if place.axis in dropped:
        raise view.refuse("it takes all of them together")
    if view.attribute("keepdims", 1):
        return [place]
    return [place.on(place.axis - sum(axis < place.axis for axis in dropped))]


def _arg(view: View) -> list[Flow]:
    place, rank = _only_first(view), len(view.shape(0))
    axis = _axis(view, 0, rank)
    if axis == place.axis:
        raise view.refuse("it takes all of them together")
    keep = view.attribute("keepdims", 1) or axis > place.axis
    return [place if keep else place.on(place.axis - 1)]


def _cumulative(view: View) -> list[Flow]:
    place, rank = _only_first(view), len(view.shape(0))
    axis = view.values.constant(view.name(1))
    if axis is None or int(axis.reshape(-1)[0]) % rank == place.axis:
        raise view.refuse("it sums them up from the start")
    return [place]


def _transpose(view: View) -> list[Flow]:
    place, rank = _only_first(view), len(view.shape(0))
    perm = list(view.attribute("perm", range(rank)[::-1]))
    return [place.on(perm.index(place.axis))]


def _reshape(view: View) -> list[Flow]:
    """Rule 3."""
    place = _only_first(view)
    try:
        moved = place_after_view(place, view.shape(0), view.result_shape(), view.symbol)
    except OddShapeError as error:
        raise view.refuse(
            f"{error} (from {_text(view.shape(0))} to {_text(view.result_shape())})",
            "export it with a dynamic batch and time: sizes fixed at export do not fit",
        ) from error
    return [moved]


def _text(shape: tuple[object, ...]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _expand(view: View) -> list[Flow]:
    place = _only_first(view)
    return [place.on(place.axis + len(view.result_shape()) - len(view.shape(0)))]


def _tile(view: View) -> list[Flow]:
    place = _only_first(view)
    repeats = view.values.constant(view.name(1))
    if repeats is None or int(repeats[place.axis]) != 1:
        raise view.refuse("it repeats them")
    return [place]


def _concat(view: View) -> list[Flow]:
    placed = view.placed()
    rank = len(view.result_shape())
    axis = _axis(view, 0, rank)
    if any(place.axis == axis for _, place in placed):
        return concat_frames(view)
    if len(placed) < len([name for name in view.node.input if name]):
        raise view.refuse("it joins what has them with what has not")
    return [same_frames(view, [place for _, place in placed])]


def _split(view: View) -> list[Flow]:
    place, rank = _only_first(view), len(view.shape(0))
    if _axis(view, 0, rank) == place.axis:
        raise view.refuse("it divides them")
    return [place] * len(view.node.output)


def _gather(view: View) -> list[Flow]:
    placed = dict(view.placed())
    axis = _axis(view, 0, len(view.shape(0)))
    if set(placed) == {1}:  # looks each up in a table
        return [placed[1].on(placed[1].axis + axis)]
    if set(placed) != {0}:
        raise view.refuse("it looks some of them up by others")
    place, added = placed[0], len(view.shape(1)) - 1
    if axis == place.axis:
        index = view.values.constant(view.name(1))
        if view.over_time and index is not None and is_last(view, place, index):
            return [Kind.LATEST]
        raise view.refuse("it picks some of them by number")
    return [place.on(place.axis + (added if axis < place.axis else 0))]


def _matmul(view: View) -> list[Flow]:
    rank = len(view.result_shape())
    places = []
    for index, place in view.placed():
        size = len(view.shape(index))
        contracted = size - 1 if index == 0 or size == 1 else size - 2
        if place.axis == contracted:
            raise view.refuse("it takes all of them together")
        if index == 0 or place.axis < size - 2:
            places.append(place.on(place.axis + rank - size))
        else:
            places.append(place.on(rank - 1))
    place = same_frames(view, places)
    for index in (0, 1):
        # A stack of matrices, one for each frame, is a table of positions.
        if not isinstance(view.flow(index), Place) and place.axis < rank - 2:
            _check_broadcast(view, index, place.axis - rank)
    return [place]


def _gemm(view: View) -> list[Flow]:
    place = _only_first(view)
    if place.axis != (1 if view.attribute("transA", 0) else 0):
        raise view.refuse("it takes all of them together")
    if view.name(2):
        _check_broadcast(view, 2, -2)
    return [place.on(0)]


def _first_axis_only(view: View) -> list[Flow]:
    place = _only_first(view)
    if place.axis != 0:
        raise view.refuse("it mixes positions along that axis")
    return [place]


def _global_pool(view: View) -> list[Flow]:
    place = _only_first(view)
    if place.axis > 1:
        raise view.refuse("it takes all of them together")
    return [place]


def _one_hot(view: View) -> list[Flow]:
    place, rank = _only_first(view), len(view.shape(0)) + 1
    axis = _axis(view, -1, rank)
    return [place if axis > place.axis else place.on(place.axis + 1)]


def _dropout(view: View) -> list[Flow]:
    if view.name(2):
        training = view.values.constant(view.name(2))
        if training is None or training.any():
            raise view.refuse("it drops values at random")
    return _same_shape(view)


_ELEMENTWISE = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift",
        "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu",
        "Clip", "Cos", "Cosh", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
        "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu",
        "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not",
        "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign",
        "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh",
        "ThresholdedRelu", "Where", "Xor",
    }
)  # fmt: skip
_REDUCTIONS = frozenset(
    {
        "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
        "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
    }
)  # fmt: skip
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(
        ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"), _trailing
    ),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), _samples_norm),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _first_axis_only),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), recurrent),
    **dict.fromkeys(("Conv", "ConvTranspose"), convolution),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "CumSum": _cumulative,
    "Dropout": _dropout,
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "LpNormalization": _along_axis(-1),
    "MatMul": _matmul,
    "OneHot": _one_hot,
    "Pad": pad,
    "Slice": slice_,
    "Split": _split,
    "Tile": _tile,
    "TopK": _along_axis(-1),
    "Transpose": _transpose,
}
