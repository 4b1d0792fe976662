"""Which operators compute each frame from that frame alone.

Rules:
    1. Element by element: frames of all arguments lie on the same axis, counted from the right.
    2. Along an axis (softmax, sum, cat, split, select, slice, ...): not along time.
    3. Normalisation over trailing axes, or with stored statistics: time is not among them.
    4. Products of matrices: time is not summed over.
    5. Embedding and one-hot: each index on its own.
    6. Views and permutations: as long as the result has its frames on one axis, in their order.
       `squeeze` has to name its axis: without one, what it does depends on sizes.
    7. Convolutions, pooling, padding and unfolding: over other axes than time, or one frame wide.
    8. Creation and repetition: one value for all frames.
    9. Einsum: time keeps its letter, or its place in ``...``, and is not summed over.
    10. Anything else: refused, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Node

from rnnedge_exporters.capture.arguments import (
    CREATION,
    arguments_of,
    axis_of,
    is_end,
    operator_name,
    spatial_rank,
    spread,
)
from rnnedge_exporters.capture.operators import RECURRENT
from rnnedge_exporters.streaming.axes import VIEWS, Place
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse

_Known = Mapping[Node, Place]

_ELEMENTWISE = frozenset(
    {"dropout", "feature_dropout", "alpha_dropout", "to", "_to_copy", "contiguous", "clone"}
    | {"detach", "detach_", "alias", "lift_fresh_copy", "hardswish", "log_sigmoid", "where"}
    # The slopes of prelu lie along axis 1; as many as frames would be known to have them.
    | {"type_as", "prelu", "rrelu", "_assert_tensor_metadata", "copy", "complex", "polar"}
    | {"view_as_real", "view_as_complex", "real", "imag", "angle", "abs", "conj", "masked_fill"}
    | {"_conj", "resolve_conj", "resolve_neg", "softplus", "elu", "gelu", "silu", "mish"}
)
_VIEWS = VIEWS | frozenset(
    {"unsqueeze", "permute", "transpose", "t", "numpy_T", "expand", "expand_as", "movedim"}
    | {"swapaxes"}
)
_REPEATED = frozenset({"expand", "expand_as", "repeat"})
SHAPES_ONLY = _REPEATED | _VIEWS | CREATION | {"slice", "arange", "split", "split_with_sizes"}
"""Operators in which a number is a size or a position, not a value."""


def takes_last_frame(node: Node, place: Place | None) -> bool:
    """Whether `node` takes the last frame, as ``x[:, -1]`` or ``x[:, -1:]`` over time do."""
    name = operator_name(node)
    if place is None or place.is_folded or name not in ("select", "slice"):
        return False
    arguments = arguments_of(node)
    is_last = arguments["index"] == -1 if name == "select" else _is_last_slice(arguments)
    return axis_of(node) == place.axis and is_last


def check_frames(node: Node, known: _Known, place: Place | None) -> None:
    """Checks that frames of `node` need the same frames of its arguments only.

    Args:
        node: an operator; not a recurrence over time.
        known: the arguments that have frames, and where.
        place: where the result has its frames.

    Raises:
        StreamingError: it is not so, or not known.
    """
    name = operator_name(node)
    if not known:
        if place is not None and name not in CREATION | _REPEATED:
            raise refuse(node, "its values depend on the position in time", SEQUENCE_MODE)
        return
    _rule_for(node, name)(node, known, place)


def _rule_for(node: Node, name: str) -> Callable[[Node, _Known, Place | None], None]:
    if node.target in RECURRENT:
        return _recurrence_elsewhere
    if name in _RULES:
        return _RULES[name]
    is_pointwise = isinstance(node.target, OpOverload) and torch.Tag.pointwise in node.target.tags
    return _elementwise if is_pointwise else _unknown


def _unknown(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 10."""
    raise refuse(
        node,
        f"the operator {operator_name(node) or node.target} over a tensor with time is not known "
        "to work frame by frame",
        SEQUENCE_MODE,
    )


def _elementwise(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 1."""
    from_right = {
        (source.meta["val"].ndim - found.axis, found.outer, found.inner)
        for source, found in known.items()
        if isinstance(source.meta["val"], Tensor)
    }
    if len(from_right) > 1:
        raise refuse(node, "its arguments have their frames on different axes", SEQUENCE_MODE)


def _along_axis(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 2."""
    _elementwise(node, known, place)
    arguments = arguments_of(node)
    dims = arguments.get("dim", arguments.get("dims"))
    source, found = next(iter(known.items()))
    ndim = source.meta["val"].ndim
    axes = range(ndim) if dims is None or dims == [] else dims if isinstance(dims, list) else [dims]
    if found.axis in {axis % ndim for axis in axes} and not _is_whole(arguments):
        name = operator_name(node)
        fix = _SO_FAR if name in ("mean", "sum", "var", "std") else _OVER_TIME
        raise refuse(node, f"{name} runs along time", fix)


_SO_FAR = (
    "take it over the frames so far (torch.cumsum, for a mean divided by their number), or over a "
    f"window of them (avg_pool1d); or {SEQUENCE_MODE}"
)
_OVER_TIME = "let it run over another axis, or " + SEQUENCE_MODE


def _trailing(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 3: layer and root-mean-square normalisation."""
    source, found = next(iter(known.items()))
    if found.axis >= source.meta["val"].ndim - len(arguments_of(node)["normalized_shape"]):
        raise refuse(node, "it normalises over time", _OVER_TIME)


def _batch_norm(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 3: batch normalisation with stored statistics."""
    arguments = arguments_of(node)
    if arguments.get("training") or arguments.get("running_mean") is None:
        raise refuse(node, "it normalises with statistics of the whole signal", _OVER_TIME)
    if next(iter(known.values())).axis == 1:
        raise refuse(node, "it takes time for channels", "put channels on axis 1")


def _group_norm(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 3: of groups of channels, over all axes after them."""
    if next(iter(known.values())).axis > 0:
        raise refuse(
            node,
            "it normalises with mean and variance of the whole signal",
            "normalise each frame (nn.LayerNorm over the features), or with sums of the frames so "
            "far (torch.cumsum); or " + SEQUENCE_MODE,
        )


def _product(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 4."""
    tensors = [arg for arg in node.args if isinstance(arg, Node)]
    # A bias comes last in `linear` and first in `addmm`; `linear` has its weight transposed.
    is_linear = operator_name(node) == "linear"
    left, right = tensors[:2] if is_linear else tensors[-2:]
    summed_right = 1 if is_linear else max(right.meta["val"].ndim - 2, 0)
    over_time = (
        (left in known and known[left].axis == left.meta["val"].ndim - 1)
        or (right in known and known[right].axis == summed_right)
        or place is None
    )
    if over_time:
        raise refuse(node, "it sums over time", _OVER_TIME)


def _fused_attention(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 4, for ``scaled_dot_product_attention``: not over the frames it joins."""
    if any(found.axis >= source.meta["val"].ndim - 2 for source, found in known.items()):
        raise refuse(node, "it attends over it", _OVER_TIME)


def _lookup(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 5."""
    table = arguments_of(node).get("weight")
    if isinstance(table, Node) and table in known:
        raise refuse(node, "its table has an axis of time", SEQUENCE_MODE)


def _refuse_lost(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 6."""
    if operator_name(node) == "squeeze" and "dim" not in arguments_of(node):
        raise refuse(node, "squeeze without an axis depends on sizes", "name its axis: squeeze(-1)")
    if place is None:
        raise refuse(node, "the axis of time is lost in it", SEQUENCE_MODE)


def _convolution(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 7."""
    source, found = next(iter(known.items()))
    arguments = arguments_of(node)
    weight = arguments.get("weight")
    if len(known) > 1 or source is not node.args[0]:
        raise refuse(node, "its weights depend on the signal", SEQUENCE_MODE)
    rank = spatial_rank(node)
    spatial = found.axis - (source.meta["val"].ndim - rank)
    if spatial < 0:
        mixes_channels = weight is not None  # a pool has none, and takes each on its own
        if mixes_channels and found.axis == 1 and source.meta["val"].ndim == rank + 2:
            raise refuse(node, "it takes time for channels", "put channels on axis 1")
        return
    kernel = list(weight.meta["val"].shape[2:]) if isinstance(weight, Node) else None
    width = kernel or spread(arguments.get("kernel_size"), rank)
    stride = spread(arguments.get("stride") or width, rank)
    padding = spread(arguments.get("padding", 0), rank)
    if width[spatial] != 1 or stride[spatial] != 1 or padding[spatial] not in (0, "same", "valid"):
        raise refuse(
            node,
            f"it reads a window of {width[spatial]} of it",
            f"use a kernel of one there; or {SEQUENCE_MODE}",
        )


def _other_axes(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 7, for padding and unfolding."""
    source, found = next(iter(known.items()))
    arguments, ndim = arguments_of(node), source.meta["val"].ndim
    if operator_name(node) == "unfold":
        touched = int(arguments["dimension"]) % ndim == found.axis
    else:
        index = 2 * (ndim - 1 - found.axis)
        touched = any(arguments["pad"][index : index + 2])
    if touched or len(known) > 1:
        raise refuse(node, f"{operator_name(node)} runs along it", _OVER_TIME)


def _einsum(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 9."""
    operands = arguments_of(node)["tensors"]
    inputs, output = _letters(arguments_of(node)["equation"], operands)
    if not output:
        raise refuse(node, "it is written without '->'", "say the result's axes in einsum")
    pairs = list(zip(operands, inputs, strict=True))
    letters = {names[known[operand].axis] for operand, names in pairs if operand in known}
    used = [names for operand, names in pairs if operand not in known and letters & set(names)]
    if len(letters) != 1 or not letters <= set(output) or used:
        raise refuse(node, "it sums over time, or joins different frames", _OVER_TIME)


def _letters(equation: str, operands: list[Node]) -> tuple[list[str], str]:
    """The axes of an einsum's operands and of its result, ``...`` as characters of their own."""
    inputs, _, output = equation.replace(" ", "").partition("->")
    names = inputs.split(",")
    counts = [
        operand.meta["val"].ndim - len(name.replace("...", ""))
        for operand, name in zip(operands, names, strict=True)
    ]
    # Axes that an ellipsis stands for are counted from the right, as broadcasting does.
    others = "0123456789"[: max(counts)]
    named = [
        name.replace("...", others[len(others) - count :])
        for name, count in zip(names, counts, strict=True)
    ]
    return named, output.replace("...", others)


def _repeating(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 7, for interpolation and repetition of elements."""
    source, found = next(iter(known.items()))
    before, after = source.meta["val"], node.meta["val"]
    if operator_name(node) == "repeat_interleave":
        axis = arguments_of(node).get("dim")
        touched = axis is None or int(axis) % before.ndim == found.axis
    else:
        touched = found.axis >= 2 and before.shape[found.axis] != after.shape[found.axis]
    if touched:
        raise refuse(node, f"{operator_name(node)} changes its number", _OVER_TIME)


def _indexed(node: Node, known: _Known, place: Place | None) -> None:
    """Rule 5, for ``table[index]``: the table has no frames."""
    arguments = arguments_of(node)
    indices = [index for index in arguments["indices"] if isinstance(index, Node)]
    if node.args[0] in known or len(indices) != 1 or arguments["indices"][0] is None:
        raise refuse(node, "it picks elements by an index", "index a table: table[index]")


def _recurrence_elsewhere(node: Node, known: _Known, place: Place | None) -> None:
    """A recurrence over another axis: time is folded into its batch, and so in its states."""


def _is_last_slice(arguments: Mapping[str, Any]) -> bool:
    """Whether a slice is ``[-1:]``."""
    return bool(arguments["start"] == -1 and is_end(arguments["end"]))


def _is_whole(arguments: Mapping[str, Any]) -> bool:
    """Whether a slice is ``[:]``."""
    bounds = [arguments.get(name, -1) for name in ("start", "end", "step")]
    return bounds[0] in (None, 0) and is_end(bounds[1]) and bounds[2] == 1


_ALONG_AXIS = frozenset(
    {"softmax", "_softmax", "log_softmax", "_log_softmax", "sum", "mean", "amax", "amin", "max"}
    | {"min", "prod", "var", "std", "logsumexp", "argmax", "argmin", "any", "all", "norm"}
    | {"linalg_vector_norm", "cumsum", "cumprod", "glu", "cat", "concat", "split", "chunk"}
    | {"split_with_sizes", "unbind", "select", "slice", "narrow", "index_select", "flip", "roll"}
    | {"cummax", "cummin", "diff"}
    | {"sort", "topk", "select_scatter", "slice_scatter"}
)
_CONVOLUTIONS = frozenset(
    {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "convolution"}
    | {"max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"}
    | {"conv_transpose3d"}
)
_RULES: Mapping[str, Callable[[Node, _Known, Place | None], None]] = {
    **dict.fromkeys(_ELEMENTWISE | CREATION | {"stack"}, _elementwise),
    **dict.fromkeys(_VIEWS, _refuse_lost),
    **dict.fromkeys(_ALONG_AXIS, _along_axis),
    **dict.fromkeys(("layer_norm", "native_layer_norm", "rms_norm"), _trailing),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("group_norm", "instance_norm"), _group_norm),
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "addmm", "baddbmm"), _product),
    **dict.fromkeys(("embedding", "one_hot"), _lookup),
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(("pad", "constant_pad_nd", "unfold"), _other_axes),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d", "repeat_interleave"), _repeating),
    "einsum": _einsum,
    "scaled_dot_product_attention": _fused_attention,
    "index": _indexed,
}
