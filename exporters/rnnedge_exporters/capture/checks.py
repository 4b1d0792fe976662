"""What is asked of a captured program before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import SymInt, Tensor, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.call import randomised, run
from rnnedge_exporters.capture.graph import Program
from rnnedge_exporters.errors import CaptureError, first_lines


class FrozenSizeError(CaptureError):
    """The graph is right at the example's sizes only.

    Attributes:
        nodes: of the graph.
    """

    nodes = 0


def summary(error: Exception) -> str:
    """What an error of torch says, in short."""
    return f"{type(error).__name__}: {first_lines(error, 3)}"


def refuse_randomness(exported: ExportedProgram) -> None:
    """Raises CaptureError if forward draws random numbers."""
    for node in exported.graph.nodes:
        tags = getattr(node.target, "tags", ())
        scopes = node.meta.get("nn_module_stack") or {"": ("", "")}
        is_idle_dropout = "dropout" in str(node.target) and node.args[-1] is False
        if "scaled_dot_product_attention" in str(node.target):
            dropout = node.args[4] if len(node.args) > 4 else node.kwargs.get("dropout_p", 0.0)
            is_idle_dropout = dropout == 0.0
        if torch.Tag.nondeterministic_seeded in tags and not is_idle_dropout:
            raise CaptureError(
                f"forward draws random numbers ({node.target})",
                where=next(reversed(scopes.values()))[0] or "forward",
                fix="pass training=self.training to dropout; take noise as an argument of forward",
            )


def refuse_mutation(exported: ExportedProgram) -> None:
    """Raises CaptureError if forward writes into what outlives the call."""
    signature = exported.graph_signature
    mutated = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
    if mutated:
        raise CaptureError(
            "forward changes tensors in place that outlive the call",
            where=", ".join(mutated),
            fix="take such a tensor as an argument of forward and return the new one",
        )


def _close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


def _refuse_unequal(module: nn.Module, result: list[Tensor]) -> None:
    """Two runs on the same input differed."""
    where = f"{type(module).__name__}.forward, run twice in evaluation mode"
    if any(bool(tensor.isnan().any()) for tensor in result):
        raise CaptureError(
            "forward gives NaN for random input of unit variance",
            where=where,
            fix="check the weights for NaN and infinity, and forward for divisions by zero",
        )
    raise CaptureError(
        "forward is not deterministic: the same input gave two results",
        where=where,
        fix="pass training=self.training to dropout; take noise as an argument of forward",
    )


def check_free(program: Program) -> None:
    """The tracer can tie an axis to the example's size, or to a range, without a word."""
    for name, spec in program.call.inputs.items():
        value = program.inputs[name].meta["val"]
        for axis, dim in enumerate(spec.shape):
            if not isinstance(dim, str):
                continue
            given = value.shape[axis]
            if not isinstance(given, SymInt) or not given.node.expr.free_symbols:
                raise FrozenSizeError(
                    f"forward specialized the axis {dim!r} of {name!r} to {given}, the example's",
                    where=f"input {name!r}, axis {axis}",
                    fix="look in forward for a size that is fixed while tracing (a buffer of fixed "
                    "length, int(x.shape[1]), numpy, a length of 1) and write it with tensor "
                    "operations; or give that axis a fixed size in --input",
                )
            _check_bound(program, name, dim, given)


def _check_bound(program: Program, name: str, dim: str, given: SymInt) -> None:
    env = given.node.shape_env
    for symbol in given.node.expr.free_symbols:
        upper = env.var_to_range[symbol].upper if symbol in env.var_to_range else None
        if upper is not None and upper.is_Integer and int(upper) < 2**31:
            raise FrozenSizeError(
                f"forward works for an axis {dim!r} of at most {upper} in {name!r}",
                where=f"input {name!r}",
                fix="a stream has no end: look for a table of positions, or a buffer, of that "
                "length (compute positions instead of looking them up), and for padding to a "
                "length that is rounded up (leave it out, or pad before the module is called)",
            )


def check_other_sizes(module: nn.Module, program: Program) -> None:
    """torch.export can freeze a size without a word; another size brings it to light."""
    arguments = randomised(program.call.arguments(program.call.other))
    expected, again = (pytree.tree_leaves(run(module, arguments)) for _ in range(2))
    if not _close(expected, again):
        _refuse_unequal(module, expected)
    try:
        results = program.graph_module(*pytree.tree_leaves(arguments))
        problem = "" if _close(results, expected) else "its result differs"
    except Exception as error:
        problem = summary(error)
    if problem:
        raise FrozenSizeError(
            f"the captured graph is right at the example's size only: {problem}",
            where=f"{type(module).__name__}.forward, captured at {program.call.example}, "
            f"run at {program.call.other}",
            fix="look in forward for a size that is fixed while tracing (a buffer of fixed "
            "length, int(x.shape[1]), numpy) and write it with tensor operations",
        )
