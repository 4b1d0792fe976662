"""While a module is traced, a packed sequence stays padded, beside the lengths of its rows.

How many frames there are at each step of a packed sequence depends on values, which a graph with
free axes cannot follow; operators of ours, and ONNX's, take the padded sequence and its lengths.

Rules:
    1. `pack_padded_sequence`, or `pack_sequence`, gives a `PackedSequence` whose ``data`` is the
       padded tensor, time first, with both axes in one: what treats each frame for itself may be
       applied to it.
       Its ``batch_sizes`` are the lengths; nothing is sorted, as no operator needs it.
    2. `torch.nn.RNN`, `GRU` and `LSTM` get the padded tensor, and their operators the lengths.
    3. `pad_packed_sequence` gives the padded tensor up to the end of the longest row, or up to
       `total_length`, with the padding's value after each row's end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, cast

import torch
from torch import SymInt, Tensor, nn
from torch.nn.modules import module as hooks
from torch.nn.utils import rnn as packing
from torch.nn.utils.rnn import PackedSequence

from rnnedge_exporters.capture import operators
from rnnedge_exporters.errors import CaptureError


@dataclass
class _Rows:
    """What a packed sequence was made of.

    Attributes:
        lengths: int64 [batch].
        sizes: int32 [batch], the same; stands in the packed sequence as its ``batch_sizes``.
        time: the padded length.
        batch: the number of rows.
        trimmed: what was last cut to the longest row.
    """

    lengths: Tensor
    sizes: Tensor
    time: int | SymInt
    batch: int | SymInt
    trimmed: Tensor | None = None


class _Kept(PackedSequence):
    """A packed sequence that holds the padded tensor; axes are folded once somebody looks at it."""

    @property
    def data(self) -> Tensor:
        """Rule 1."""
        data = self[0]
        trace = _TRACE.get()
        is_padded = trace is not None and any(data is padded for padded, _ in trace.padded)
        return data.flatten(0, 1) if is_padded else data


@dataclass
class _Trace:
    """What is known of packed sequences while a module is traced.

    Attributes:
        rows: of all sequences that were packed.
        padded: tensors of packed sequences, [time, batch, features], and whether each is zero after
            its rows' ends.
        running: the lengths that each recurrent module that is running was given.
    """

    rows: list[_Rows] = field(default_factory=list)
    padded: list[tuple[Tensor, bool]] = field(default_factory=list)
    running: list[_Rows | None] = field(default_factory=list)

    def pack(self, padded: Tensor, rows: _Rows, *, is_clean: bool) -> PackedSequence:
        """A packed sequence of a padded one, [time, batch, features]."""
        self.padded.append((padded, is_clean))
        return tuple.__new__(_Kept, (padded, rows.sizes, None, None))

    def unpack(self, sequence: PackedSequence) -> tuple[Tensor, _Rows, bool]:
        """The padded sequence, its rows, and whether it is zero after their ends."""
        rows = next(rows for rows in self.rows if rows.sizes is sequence.batch_sizes)
        for padded, is_clean in self.padded:
            if padded is sequence[0]:
                return padded, rows, is_clean
        shape = (rows.time, rows.batch, *sequence.data.shape[1:])
        return sequence.data.reshape(shape), rows, False

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Rule 2; a hook.

        Raises:
            CaptureError: what becomes of a packed sequence in a forward of its own is not known.
        """
        if not _is_of_torch(module):
            if isinstance(module, nn.RNNBase) and args and isinstance(args[0], PackedSequence):
                raise CaptureError(
                    "a packed sequence is given to a subclass with a forward of its own",
                    where=type(module).__name__,
                    fix="call torch.nn.RNN, GRU or LSTM themselves with what pack_padded_sequence "
                    "returns, as the first argument",
                )
            return None
        if not args or not isinstance(args[0], PackedSequence):
            self.running.append(None)
            return None
        padded, rows, _ = self.unpack(args[0])
        self.running.append(rows)
        return (padded.transpose(0, 1) if module.batch_first else padded, *args[1:])

    def after(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> Any:
        """Rule 2; a hook."""
        rows = self.running.pop() if _is_of_torch(module) else None
        if rows is None:
            return None
        y, state = result
        padded = y.transpose(0, 1) if module.batch_first else y
        return self.pack(padded, rows, is_clean=True), state


def _is_of_torch(module: nn.Module) -> bool:
    """Whether it is a recurrent module whose forward is known: a subclass may have its own."""
    return type(module) in (nn.RNN, nn.GRU, nn.LSTM)


_TRACE: ContextVar[_Trace | None] = ContextVar("trace", default=None)


@contextmanager
def keep_packed() -> Iterator[None]:
    """Inside, packed sequences stay padded, for this thread."""
    trace = _Trace()
    token = _TRACE.set(trace)
    with ExitStack() as stack:
        stack.callback(_TRACE.reset, token)
        given: Any = trace.before  # whose result torch takes, though its signature says None
        before = hooks.register_module_forward_pre_hook(given)
        stack.callback(before.remove)
        after = hooks.register_module_forward_hook(trace.after)
        stack.callback(after.remove)
        for function, ours in _OURS.items():
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = ours.__code__
        yield


def current_lengths() -> Tensor | None:
    """int32 [batch], of the packed sequence that the running recurrent module was given."""
    trace = _TRACE.get()
    rows = trace.running[-1] if trace is not None and trace.running else None
    return None if rows is None else rows.sizes


def _pack(
    sequence: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool,
    enforce_sorted: bool,
) -> PackedSequence:
    """Rule 1."""
    trace = _TRACE.get()
    if trace is None:  # in another thread than the one that traces
        return cast("PackedSequence", _PACK(sequence, lengths, batch_first, enforce_sorted))
    padded = sequence.transpose(0, 1) if batch_first else sequence
    if not isinstance(lengths, Tensor):
        lengths = torch.stack([torch.full((), length) for length in lengths])
    time, batch = padded.shape[:2]
    rows = _Rows(lengths.to(torch.int64), lengths.to(torch.int32, copy=True), time, batch)
    trace.rows.append(rows)
    return trace.pack(padded, rows, is_clean=False)


def _pack_all(sequences: Sequence[Tensor], enforce_sorted: bool) -> PackedSequence:
    """`pack_sequence`, which would make numbers of the lengths."""
    if _TRACE.get() is None:
        return cast("PackedSequence", _PACK_ALL(sequences, enforce_sorted))
    lengths = [sequence.shape[0] for sequence in sequences]
    return _pack(pad_sequence(sequences), lengths, False, enforce_sorted)


def _pad(
    sequence: PackedSequence, batch_first: bool, padding_value: float, total_length: int | None
) -> tuple[Tensor, Tensor]:
    """Rule 3."""
    trace = _TRACE.get()
    if trace is None:
        options = (batch_first, padding_value, total_length)
        return cast("tuple[Tensor, Tensor]", _PAD(sequence, *options))
    padded, rows, is_clean = trace.unpack(sequence)
    if not is_clean or padding_value != 0.0:
        counts = torch.arange(cast("int", rows.time)).unsqueeze(1) < rows.lengths
        spread = counts.reshape(rows.time, rows.batch, *[1] * (padded.ndim - 2))
        padded = torch.where(spread, padded, padding_value)
    if total_length is None:
        padded = operators.trimmed(padded, rows.lengths, rows.trimmed)
        rows.trimmed = padded
    elif not _is_same(total_length, rows.time):
        more = padded.new_full((total_length, *padded.shape[1:]), padding_value)
        padded = torch.cat([padded, more])[:total_length]
    return padded.transpose(0, 1) if batch_first else padded, rows.lengths


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """`torch.nn.utils.rnn.pad_sequence`, whose kernel would tie free lengths to the example's."""
    sizes = [sequence.shape[0] for sequence in sequences]
    padded = list(sequences)
    if not all(_is_same(size, sizes[0]) for size in sizes):
        longest = functools.reduce(torch.sym_max, sizes)
        for index, sequence in enumerate(sequences):
            more = sequence.new_full((longest - sizes[index], *sequence.shape[1:]), padding_value)
            padded[index] = torch.cat(
                [sequence, more] if padding_side == "right" else [more, sequence]
            )
    return torch.stack(padded, 0 if batch_first else 1)


def _is_same(a: int | SymInt, b: int | SymInt) -> bool:
    """Whether two sizes are equal whatever the sizes of the inputs; decides nothing for the tracer.

    A comparison of a number with a free size would tie that size to it.
    """
    if isinstance(a, SymInt) and isinstance(b, SymInt):
        return bool(a.node.expr == b.node.expr)
    return not isinstance(a, SymInt) and not isinstance(b, SymInt) and a == b


# Modules import these functions by name, so it is their code that has to change: it runs among the
# names of torch's module, and with the arguments' names and defaults of torch's functions.


def _pack_padded_sequence(
    input: Any,  # noqa: A002 - torch's name
    lengths: Any,
    batch_first: Any,
    enforce_sorted: Any,
) -> Any:
    from rnnedge_exporters.capture import packed

    return packed._pack(input, lengths, batch_first, enforce_sorted)


def _pack_sequence(sequences: Any, enforce_sorted: Any) -> Any:
    from rnnedge_exporters.capture import packed

    return packed._pack_all(sequences, enforce_sorted)


def _pad_packed_sequence(
    sequence: Any, batch_first: Any, padding_value: Any, total_length: Any
) -> Any:
    from rnnedge_exporters.capture import packed

    return packed._pad(sequence, batch_first, padding_value, total_length)


def _twin(function: Callable[..., Any]) -> Callable[..., Any]:
    assert isinstance(function, FunctionType)  # noqa: S101 - it is written in Python
    return FunctionType(function.__code__, function.__globals__)


_PACK, _PAD = _twin(packing.pack_padded_sequence), _twin(packing.pad_packed_sequence)
_PACK_ALL = _twin(packing.pack_sequence)
_OURS = {
    packing.pack_padded_sequence: _pack_padded_sequence,
    packing.pack_sequence: _pack_sequence,
    packing.pad_packed_sequence: _pad_packed_sequence,
}
