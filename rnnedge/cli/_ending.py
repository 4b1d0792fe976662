"""What `rnnedge run` writes of a stream: no frame that precedes the signal, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnedge.cli._frames import Arrays
from rnnedge_runtime.alignment import is_plain
from rnnedge_runtime.contract import TIME, Port, dim_factor
from rnnedge_runtime.errors import InputError

if TYPE_CHECKING:
    from rnnedge_runtime import Stream
    from rnnedge_runtime.stream import Outputs


class Ending:
    """Drops the first frames that come, and asks for the last."""

    def __init__(self, stream: Stream) -> None:
        """`stream` may be new, or go on where another run has stopped."""
        self._stream = stream
        self._ports = stream.model.contract.outputs
        self._is_plain = is_plain(stream.model.contract)
        self._dropped = self._written_before() if stream.frames else self._delays()

    def push(self, inputs: Arrays) -> Arrays:
        """What comes of a chunk, without what is dropped."""
        return self._cut(self._stream.push(inputs))

    def flush(self) -> Arrays | None:
        """The end; None where nothing can be held back."""
        return None if self._is_plain else self._cut(self._stream.flush())

    def _delays(self) -> dict[str, int]:
        return {port.name: port.delay for port in self._ports if port.time_axis is not None}

    def _written_before(self) -> dict[str, int]:
        """What the run before has written already, as its signal's end."""
        if self._is_plain:
            return {}
        try:
            tail = self._by_name(self._stream.fork().flush())
        except InputError:  # nothing is held back, and a value without time is not known any more
            return {}
        return {
            port.name: tail[port.name].shape[port.time_axis] // _entries(port)
            for port in self._ports
            if port.time_axis is not None
        }

    def _cut(self, outputs: Outputs) -> Arrays:
        arrays = self._by_name(outputs)
        for port in self._ports:
            waiting = self._dropped.get(port.name, 0)
            if port.time_axis is None or not waiting:
                continue
            array, entries = arrays[port.name], _entries(port)
            count = min(waiting, array.shape[port.time_axis] // entries)
            span = (*(slice(None),) * port.time_axis, slice(count * entries, None))
            arrays[port.name] = array[span]
            self._dropped[port.name] = waiting - count
        return arrays

    def _by_name(self, outputs: Outputs) -> Arrays:
        return outputs if isinstance(outputs, dict) else {self._ports[0].name: outputs}


def _entries(port: Port) -> int:
    """Entries per frame along the time axis."""
    assert port.time_axis is not None  # noqa: S101 - asked by the callers
    return dim_factor(port.shape[port.time_axis], TIME)
