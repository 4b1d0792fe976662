"""Ports of a contract, from shapes."""

from __future__ import annotations

from rnnedge_runtime.contract import BATCH, TIME, Dim, Port, dim_factor


def port_of(name: str, dtype: str, shape: tuple[Dim, ...]) -> Port:
    """A port; its axes are those of the symbols in its shape."""
    batch_axis, time_axis = (
        next((i for i, dim in enumerate(shape) if dim_factor(dim, symbol)), None)
        for symbol in (BATCH, TIME)
    )
    return Port(name, dtype, shape, batch_axis, time_axis)
