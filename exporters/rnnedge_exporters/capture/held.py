"""What a module holds between calls becomes an argument and a result of its forward.

Rules:
    1. Whatever a call of forward changes is held: buffers, attributes, dicts, lists and objects
       with attributes, of every submodule.
    2. A tensor that is held is a state. Its size stays what it is from call to call and does not
       depend on the number of frames; the batch may be one of its axes.
    3. Anything else that is held stays, from the first call on, what that call made of it.
    4. A state starts from what the module holds, or else from zeros: the first call has to give
       with that start what it gives by itself.
    5. What forward writes and never reads is no state.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.attributes import (
    changed,
    copied,
    give_forward,
    same,
    slot_at,
    slots,
)
from rnnedge_exporters.capture.call import (
    OWN_STATES,
    Call,
    StateArgument,
    inference,
    is_required,
    parameters_of,
    randomised,
    run,
    suffix_of,
)
from rnnedge_exporters.capture.contents import Content, Name, stateless_forward
from rnnedge_exporters.capture.lengths import with_lengths
from rnnedge_exporters.errors import CaptureError
from rnnedge_exporters.specs import TensorSpec
from rnnedge_runtime.contract import BATCH

HELD = "held"
"""The argument of forward that takes what is held: a dict of tensors by name."""
_ARGUMENT = inspect.Parameter(HELD, inspect.Parameter.KEYWORD_ONLY, default=None)


def explicit(module: nn.Module, inputs: Mapping[str, TensorSpec]) -> nn.Module:
    """`module` itself if its forward changes nothing in it, else a copy that hides no state.

    The copy's forward takes one more argument, `HELD`: what is held before the call, or None for
    the start; and returns what it returned and what is held afterwards. It changes nothing.

    Args:
        module: not changed; a copy of it is called a few times, in evaluation mode.
        inputs: the data arguments of forward.

    Raises:
        CaptureError: something is held that cannot be a state; says what and why.
    """
    call = _called(module, Call(dict(inputs), ()))
    try:
        once = None if call is None else _after(module, call, call.example)
    except CaptureError:
        once = None
    if call is None or once is None:
        return module  # who calls it next tells why it cannot be called
    names = changed(module, once)
    if not names:
        return module
    twice = _after(module, call, call.example, calls=2)
    names += [name for name in changed(once, twice) if name not in names]
    read = [name for name in names if _is_read(once, name, call)]
    shorter = _after(module, call, call.shorter)
    small = _after(module, call, call.other)
    runs = _Runs(call, *(_values(m, read) for m in (module, once, twice, shorter, small)))
    leaves = {name: runs.leaves(name) for name in read}
    contents = {
        name: Content(runs.tree(name), tuple(leaf.content for leaf in leaves[name]))
        for name in read
    }
    states = [leaf for name in read for leaf in leaves[name] if leaf.spec is not None]
    zeros = [replace(leaf, initial=None) for leaf in states]
    for starts in (states, zeros):
        argument = _argument(starts) if states else None
        twin = _with_contents(module, names, contents, argument)
        if _starts_alike(module, twin, argument, call, contents):
            return twin
    raise _refuse(
        ", ".join(read),
        "the first call gives something else than from zeros, or from what is held before it",
    )


def _called(module: nn.Module, call: Call) -> Call | None:
    """At lengths at which forward runs, if it does; None when it needs more than data."""
    parameters = parameters_of(module)
    required = [name for name, parameter in parameters.items() if is_required(parameter)]
    if not parameters or set(required) - set(call.inputs) or set(call.inputs) - set(parameters):
        return None

    def attempt(sizes: Mapping[str, int], call: Call) -> None:
        _after(module, call, sizes)

    return with_lengths(call, attempt)


def _after(module: nn.Module, call: Call, sizes: Mapping[str, int], calls: int = 1) -> nn.Module:
    """A copy of the module that was called."""
    probe = copied(module)
    with inference(probe):
        for _ in range(calls):
            run(probe, randomised(call.arguments(sizes)))
    return probe


def _is_read(module: nn.Module, name: str, call: Call) -> bool:
    """Rule 5: with an object in its place that nothing can be done with, forward does the same."""
    ours, theirs = copied(module), copied(module)
    slots(theirs)[name].hold(object())
    arguments = randomised(call.arguments(call.example))
    with inference(ours), inference(theirs):
        try:
            results = [run(probe, arguments) for probe in (ours, theirs)]
        except CaptureError:
            return True
    return not same(*results) or changed(ours, theirs) != []


def _values(module: nn.Module, names: Sequence[str]) -> dict[str, Any]:
    found = slots(module)
    return {name: found[name].value if name in found else None for name in names}


@dataclass(frozen=True)
class _Leaf:
    """One leaf of what is held: a state with spec and start, or a value that stays."""

    content: Any
    spec: TensorSpec | None = None
    initial: Tensor | None = None


@dataclass(frozen=True)
class _Runs:
    """What was held before and after a few calls, by slot.

    Attributes:
        call: the sizes.
        start: before any.
        once: after one call.
        twice: after two.
        shorter: after one with fewer frames.
        small: after one with fewer rows, and frames.
    """

    call: Call
    start: Mapping[str, Any]
    once: Mapping[str, Any]
    twice: Mapping[str, Any]
    shorter: Mapping[str, Any]
    small: Mapping[str, Any]

    def tree(self, name: str) -> pytree.TreeSpec:
        return pytree.tree_structure(self.once[name])

    def leaves(self, name: str) -> list[_Leaf]:
        """Rules 2 to 4."""
        values = [self.once[name], self.twice[name], self.shorter[name], self.small[name]]
        if len({str(pytree.tree_structure(value)) for value in values}) > 1:
            raise _refuse(name, "it holds more, or other things, after each call")
        keys = [path for path, _ in pytree.tree_flatten_with_path(self.once[name])[0]]
        start = self.start[name]
        is_known = pytree.tree_structure(start) == self.tree(name)
        starts = pytree.tree_leaves(start) if is_known else [None] * len(keys)
        flat = zip(*map(pytree.tree_leaves, values), strict=True)
        return [
            self._leaf(name + suffix_of(path), begun, *leaf)
            for path, begun, leaf in zip(keys, starts, flat, strict=True)
        ]

    def _leaf(
        self, name: str, start: Any, once: Any, twice: Any, shorter: Any, small: Any
    ) -> _Leaf:
        if not isinstance(once, Tensor):
            if not same(once, twice):
                raise _refuse(
                    name,
                    f"it is not a tensor and changes with every call ({once!r}, then {twice!r})",
                )
            return _Leaf(once)
        if once.shape != twice.shape:
            raise _refuse(name, f"it grows from call to call ({_sizes(once, twice)})")
        if once.shape != shorter.shape:
            raise _refuse(
                name, f"its size depends on the number of frames ({_sizes(once, shorter)})"
            )
        spec = self.call.spec_of(once, small)
        if spec is None:
            raise _refuse(name, f"its size depends on the batch ({_sizes(once, small)})")
        return _Leaf(Name(name), spec, _initial(name, start, spec))


def _initial(name: str, start: Any, spec: TensorSpec) -> Tensor:
    """Rule 4: for a batch of one."""
    blank = spec.zeros({BATCH: 1})
    if not isinstance(start, Tensor):
        return blank
    try:
        return start.detach().to(blank.dtype).expand(blank.shape).clone()
    except RuntimeError as error:
        shape = list(start.shape)
        raise _refuse(name, f"it is {shape} when exported, and {spec} after a call") from error


def _sizes(a: Tensor, b: Tensor) -> str:
    return f"{list(a.shape)}, then {list(b.shape)}"


def _argument(states: Sequence[_Leaf]) -> StateArgument:
    named = {leaf.content.name: leaf for leaf in states}
    tree = pytree.tree_structure(named)
    specs = tuple(cast("TensorSpec", leaf.spec) for leaf in named.values())
    starts = [leaf.initial for leaf in named.values()]
    initial = tuple(start for start in starts if start is not None)
    return StateArgument(HELD, specs, tuple(named), tree, (1,), initial=initial)


def _with_contents(
    module: nn.Module,
    names: Sequence[str],
    contents: Mapping[str, Content],
    state: StateArgument | None,
) -> nn.Module:
    """A copy of another class of the same name, so that paths of submodules stay as they are."""
    forward = stateless_forward(type(module), names, contents, has_state=state is not None)
    given = inspect.signature(module.forward)
    added = [_ARGUMENT] if state is not None else []
    signature = given.replace(parameters=[*given.parameters.values(), *added])
    states = () if state is None else (state,)
    twin = copied(module)
    for name in names:
        slot_at(twin, name).make_plain()
    give_forward(twin, forward, signature, **{OWN_STATES: states})
    return twin


def _starts_alike(
    module: nn.Module,
    twin: nn.Module,
    state: StateArgument | None,
    call: Call,
    contents: Mapping[str, Content],
) -> bool:
    """Rule 4: with what the state starts from, the first call gives what it gives by itself."""
    given = {} if state is None else {HELD: state.start(call.example)}
    probe, arguments = copied(module), randomised(call.arguments(call.example))
    with inference(probe), inference(twin):
        expected, result = run(probe, arguments), run(twin, arguments | given)
    after: dict[str, Tensor] = {}
    for name, content in contents.items():
        after |= content.states_in(slots(probe)[name].value)
    return same((expected, after) if state is not None else expected, result)


def _refuse(name: str, reason: str) -> CaptureError:
    return CaptureError(
        f"forward keeps state in the module that cannot be made explicit: {reason}",
        where=name,
        fix="hold tensors of a fixed size that are there from the start (register_buffer), or take "
        "the state as an argument of forward and return it",
    )
