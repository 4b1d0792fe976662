"""A contract as tables and as JSON."""

from __future__ import annotations

import json
from typing import Any, cast

from rich.table import Table
from rich.text import Text

from rnnedge.report.latency import delay_text, length_text
from rnnedge.report.tables import new_table
from rnnedge.report.units import shape_text
from rnnedge_runtime.contract import Contract, Port, State


def contract_dict(contract: Contract) -> dict[str, Any]:
    """The contract as it is stored in the file."""
    return cast("dict[str, Any]", json.loads(contract.to_json()))


def contract_tables(contract: Contract) -> list[Table]:
    """The ports and, if there are any, the states."""
    tables = [_ports(contract)]
    if contract.states:
        tables.append(_states(contract.states))
    return tables


def _ports(contract: Contract) -> Table:
    table = new_table("", "name", "type", "shape", "frames out per in", "delay (frames)", "of T")
    for port in contract.inputs:
        table.add_row("input", *_port_cells(port))
    for port in contract.outputs:
        delay = delay_text(port, contract.signal)
        table.add_row("output", *_port_cells(port), str(port.ratio), delay, length_text(port))
    return table


def _port_cells(port: Port) -> tuple[Text, Text, Text]:
    return Text(port.name), Text(port.dtype), Text(shape_text(port.shape))


def _states(states: tuple[State, ...]) -> Table:
    table = new_table("state", "kind", "type", "shape", "initial value")
    for state in states:
        table.add_row(
            Text(state.name),
            state.kind,
            state.dtype,
            Text(shape_text(state.shape)),
            _initial(state),
        )
    return table


def _initial(state: State) -> str:
    if state.kind == "length":
        return "endless"  # a number of frames that no signal has
    return f"{state.fill:g}" if state.tensor is None else "stored in the file"
