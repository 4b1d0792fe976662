"""What the functions of `unit_operators.py` and `unit_elementwise.py` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from rnnedge_exporters.optimize.forms import Forms, Sizes


def kept_axes(sizes: Sizes, also: Sequence[int] = ()) -> list[int]:
    """Axes whose size is not 1, and these."""
    return [axis for axis, size in enumerate(sizes) if size != 1 or axis in also]


def only(sizes: Sizes, axes: Sequence[int]) -> Sizes:
    """The sizes of these axes."""
    return tuple(sizes[axis] for axis in axes)


def known(forms: Forms, value: ir.Value | None) -> tuple[ir.Value, Sizes]:
    """A value whose shape is known, as the walk has found, and that shape."""
    shape = forms.shape(value)
    assert value is not None  # noqa: S101 - the walk has looked
    assert shape is not None  # noqa: S101
    return value, shape


def put(node: ir.Node, forms: Forms, kind: ir.Node, shapes: Sequence[Sizes]) -> bool:
    """Puts a node in the place of another; each of its results is computed in the shape given."""
    kind.metadata_props.update(node.metadata_props)
    forms.graph.insert_before(node, kind)
    for old, new, shape in zip(node.outputs, kind.outputs, shapes, strict=True):
        forms.computed(old, new, shape)
    return True


def node_like(node: ir.Node, inputs: Sequence[ir.Value | None], **attributes: object) -> ir.Node:
    """A node of that kind with other inputs, and some other attributes."""
    return ir.node(
        node.op_type,
        inputs,
        {**{a.name: a for a in node.attributes.values()}, **attributes},  # type: ignore[dict-item]
        num_outputs=len(node.outputs),
    )


def fewest_reshapes(
    forms: Forms,
    values: Sequence[tuple[ir.Value, Sizes]],
    like: Sizes,
    kept: list[int],
    restricted: Callable[[Sizes, int, Sequence[int]], Sizes],
) -> list[int]:
    """The axes to keep: all or as few as possible, whichever takes fewer reshapes."""

    def reshapes(axes: list[int]) -> int:
        return sum(forms.missing(v, restricted(shape, len(like), axes)) for v, shape in values)

    return min(kept, list(range(len(like))), key=reshapes)


def only_kept(shape: Sizes, rank: int, kept: Sequence[int]) -> Sizes:
    """Of a shape that has all axes."""
    assert len(shape) == rank  # noqa: S101 - nothing is broadcast
    return only(shape, kept)
