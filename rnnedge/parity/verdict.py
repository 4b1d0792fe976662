"""Whether an inner tensor differs: the yardstick of the proof, tensor by tensor."""

from __future__ import annotations

import numpy as np

from rnnedge.parity.measure import Array, Ledger, Reference

_CHECK = "inner"


def fails(ledger: Ledger) -> bool:
    """Whether the error is beyond what is allowed, or the shapes differ."""
    if ledger.failure(_CHECK):
        return True
    error, _, allowed = ledger.error(_CHECK)
    return error > allowed


def told(ledger: Ledger) -> str:
    """By how much it differs."""
    if failure := ledger.failure(_CHECK):
        return failure
    error, own, allowed = ledger.error(_CHECK)
    return f"error {error:.1e} (PyTorch's own {own:.1e}, allowed {allowed:.1e})"


def note(ledger: Ledger, got: Array, exact: Array, single: Array, batch: int) -> None:
    """Adds a comparison; infinities that agree, as in masks, are no difference."""
    got, exact, single = (np.atleast_1d(side) for side in (got, exact, single))
    if got.shape == exact.shape == single.shape:
        same = ~np.isfinite(exact) & (got == exact) & (single == exact)
        if same.any():
            got, exact, single = (np.where(same, 0, side) for side in (got, exact, single))
    ledger.add(got, Reference(exact, single), _CHECK, batch)
