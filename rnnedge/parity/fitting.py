"""Whether a module can be what a file was made from at all; what does not fit is told as such."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from torch import nn

from rnnedge_exporters.errors import CaptureError, SpecError
from rnnedge_runtime import Contract, RnnEdgeError


class MismatchError(RnnEdgeError):
    """The module is not the one that the file was made from."""


@contextlib.contextmanager
def fitting(module: nn.Module, contract: Contract) -> Iterator[None]:
    """Turns what `bind` and forward say of inputs that do not fit into an error about the module.

    Raises:
        MismatchError: forward does not take the file's inputs or states.
    """
    try:
        yield
    except SpecError as error:
        if error.where.startswith("--state"):
            raise  # that is what the caller said
        raise _mismatch(module, contract, error.what) from error
    except CaptureError as error:
        raise _mismatch(module, contract, f"{error.what} ({error.where})") from error


def check_outputs(module: nn.Module, contract: Contract, given: Iterable[str]) -> None:
    """Compares the names of outputs.

    Args:
        module: that was run.
        contract: of the file.
        given: names of what the module returned.

    Raises:
        MismatchError: they are not the file's.
    """
    names = list(given)
    missing = [port.name for port in contract.outputs if port.name not in names]
    if missing:
        raise _mismatch(
            module,
            contract,
            f"the file has the output {missing[0]!r}, and forward returns {', '.join(names)}",
        )


def _mismatch(module: nn.Module, contract: Contract, reason: str) -> MismatchError:
    ours, theirs = _class_of(module), contract.source.get("class")
    inputs = contract.source.get("inputs") or {
        port.name: f"{port.dtype}[{', '.join(map(str, port.shape))}]" for port in contract.inputs
    }
    taken = ", ".join(f"{name}: {spec}" for name, spec in dict(inputs).items())
    made_from = theirs or "a module that its contract does not name"
    if theirs == ours:
        what = f"the module does not fit the file, which was made from the same class {ours}"
        fix = "make it with the sizes that were exported (--arg for a factory's arguments)"
    else:
        what = f"the module is not the one that the file was made from: it is {ours}"
        fix = f"give the module that was exported, {made_from}, to --against"
    return MismatchError(
        f"{what}: {reason}", where=f"the file takes {taken}; made from {made_from}", fix=fix
    )


def _class_of(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"
