"""RNN, GRU and LSTM: over time they need states; over another axis they stay as they are.

Rules:
    1. Over time: forward only, from an initial state that does not depend on the signal.
    2. Over another axis: the frames lie in its batch. Nothing is carried from frame to frame.
    3. Rows of a batch lie in the recurrence's batch, never along its sequence.
"""

from __future__ import annotations

from rnnedge.adoption.lifting.flows import Flow, Kind, View
from rnnedge.adoption.lifting.places import Place

SEQUENCE_LENGTHS, INITIAL_HIDDEN, INITIAL_CELL = 4, 5, 6
_WEIGHTS = (1, 2, 3, 7)


def recurrent(view: View) -> list[Flow]:
    """The flows of Y ``[sequence, directions, batch, hidden]`` and of the final states."""
    flow = view.flow(0)
    if view.attribute("layout", 0):
        raise view.refuse("it has layout 1, which onnxruntime does not run", "export with layout 0")
    if view.name(SEQUENCE_LENGTHS):
        raise view.refuse(
            "its sequences have lengths of their own (sequence_lens)",
            "export it without packed sequences",
        )
    if any(isinstance(view.flow(index), Place) for index in _WEIGHTS):
        raise view.refuse("its weights change along the signal")
    if isinstance(flow, Place) and flow.axis == 0:
        return _along(view, flow)
    return _across(view)


def _along(view: View, place: Place) -> list[Flow]:
    """Rule 1."""
    if not view.over_time:
        raise view.refuse("it runs from row to row")
    if place.is_folded:
        raise view.refuse("time is folded with another axis into the sequence")
    if not place.is_plain:
        raise view.refuse("it starts before the signal or ends after it")
    direction = str(view.attribute("direction", "forward"))
    if direction != "forward":
        raise view.refuse(
            f"its direction over time is {direction}: it needs the end of the signal first",
            "train the network with one direction, forward in time",
        )
    for index in (INITIAL_HIDDEN, INITIAL_CELL):
        if view.flow(index) is not Kind.FIXED:
            raise view.refuse("its initial state depends on the number of frames")
        source = view.values.depends_on_signal(view.name(index)) if view.name(index) else None
        if source is not None:
            raise view.refuse(
                f"its initial state comes from input {source!r}",
                f"if {source!r} is a state that the file takes and gives back, use `rnnedge adopt "
                f"--state {source}=OUTPUT`; one computed from the signal cannot stream",
            )
    view.found.recurrences.append(view.node)
    sequence: list[Flow] = [place]
    return [*sequence, Kind.LATEST, Kind.LATEST][: len(view.node.output)]


def _across(view: View) -> list[Flow]:
    """Rules 2 and 3."""
    place = view.flow(0)
    if isinstance(place, Place) and place.axis == 1 and _starts_fit(view, place):
        flows: list[Flow] = [place.on(2), place.on(1), place.on(1)]
        return flows[: len(view.node.output)]
    raise view.refuse("its sequence, its batch and its initial state do not belong together")


def _starts_fit(view: View, place: Place) -> bool:
    for index in (INITIAL_HIDDEN, INITIAL_CELL):
        flow, name = view.flow(index), view.name(index)
        # Zeros and the like are the same for all, however their axis is folded.
        is_same = name == "" or view.values.depends_on_signal(name) is None
        if not is_same and flow != place:
            return False
    return True
