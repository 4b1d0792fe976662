"""Errors that say what went wrong, where, and how to fix it."""

from __future__ import annotations


class RnnEdgeError(Exception):
    """An error that a user can act on.

    Attributes:
        what: what went wrong: what was found and what was expected.
        where: the tensor, state, module path, file or flag concerned.
        fix: what to do about it.
    """

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  fix: {self.fix}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own would call the class with `what` alone.
        return (_rebuild, (type(self), self.what, self.where, self.fix))


def _rebuild(kind: type[RnnEdgeError], what: str, where: str, fix: str) -> RnnEdgeError:
    return kind(what, where=where, fix=fix)


class ContractError(RnnEdgeError):
    """The file has no contract, or one that cannot be trusted."""


class ModelFileError(RnnEdgeError):
    """The file is missing, is not ONNX, or onnxruntime cannot load it."""


class ProviderError(RnnEdgeError):
    """The execution provider asked for is absent, or did not take the model."""


class InputError(RnnEdgeError, ValueError):
    """An array does not fit the contract. The stream's state is untouched."""


class SnapshotError(RnnEdgeError, ValueError):
    """A snapshot is damaged or belongs to another model."""


class QueueFullError(RnnEdgeError):
    """As many pushes of a stream wait as may; nothing was taken in."""
