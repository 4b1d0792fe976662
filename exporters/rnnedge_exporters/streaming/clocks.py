"""Gives each tensor of a captured program its clock: how it runs with time.

A tensor's clock (`clock.py`) says whether it has frames, on which axis they lie, how many there are
for each input frame, and when each comes. It follows from the clocks of what the tensor is made of,
operator by operator. An operator stays as it is in a stream when each frame of its result needs
that frame of its arguments only; then a chunk of frames gives the same as these frames of the whole
sequence. Operators that read other frames have a pass of their own, which gives the result's clock
and a plan for the stream. All is decided from the graph, never from numbers, and what is not known
to stream is refused.

Rules:
    1. Fixed with frames gives frames; the frames of all arguments lie on the same axis, at the same
       rate. The result is as late as its latest argument; the others wait (`joins.py`).
    2. What follows the last frame (a final state, the last frame itself) is *latest*: it may go to
       an output, but not back into frames that came before it.
    3. What forward takes as a state is *start*: it may go, through views, into the initial state of
       a recurrence and nowhere else. Elsewhere its meaning would depend on where chunks begin.
    4. A recurrence over time needs a fixed or *start* initial state. It gives frames, and *latest*
       final states. A recurrence over another axis is an operator like any other.
    5. The number of frames is no value to compute with: a chunk does not know it.
    6. Frames counted from the start have no place in a stream; only their sizes may be used.
    7. Frames flattened with features are frames at a higher rate, and the other way round.
    8. All other operators: see `frames.py`.
    9. A tensor that would run beyond its own end while the input lasts waits, whichever operator
       cut it off: its end is known only when the input's is, and until then nothing could tell
       what was cut off from the signal, where it is padded or read past its end.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace

import sympy
from torch import SymBool, SymFloat, SymInt, Tensor
from torch.fx import Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.capture.arguments import CREATION, axis_of, operator_name, source_of
from rnnedge_exporters.capture.operators import read_layer
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.streaming.accumulation import ACCUMULATING, First, clock_accumulation
from rnnedge_exporters.streaming.attention import Attentions
from rnnedge_exporters.streaming.attention_steps import Attention
from rnnedge_exporters.streaming.axes import (
    OddAxisError,
    Place,
    find_axis,
    locate,
    made_from,
    read_length,
    shape_of,
)
from rnnedge_exporters.streaming.clock import FIXED, Clock, Flow
from rnnedge_exporters.streaming.frames import SHAPES_ONLY, check_frames, takes_last_frame
from rnnedge_exporters.streaming.joins import Blank, Join, clock_join
from rnnedge_exporters.streaming.length import Length
from rnnedge_exporters.streaming.naming import Names
from rnnedge_exporters.streaming.padding import (
    PADS,
    clock_joined,
    clock_pad,
    joins_time,
    pads_time,
)
from rnnedge_exporters.streaming.plan import Plan, Timed
from rnnedge_exporters.streaming.positions import clock_positions
from rnnedge_exporters.streaming.program import time_symbol, time_unit
from rnnedge_exporters.streaming.recurrences import (
    SCAN,
    initial_states,
    is_over_time,
    sequence_of,
    state_of_result,
)
from rnnedge_exporters.streaming.recurrent_state import Recurrence
from rnnedge_exporters.streaming.refusal import SEQUENCE_MODE, refuse
from rnnedge_exporters.streaming.scan_state import clock_scan
from rnnedge_exporters.streaming.shifts import clock_slice
from rnnedge_exporters.streaming.upsampling import (
    REPEATING,
    clock_repeated,
    clock_transposed,
    transposed_over_time,
)
from rnnedge_exporters.streaming.windows import clock_window, window_over_time

STATE_VIEWS = frozenset(
    {"split", "split_with_sizes", "chunk", "select", "slice", "unsqueeze", "squeeze", "transpose"}
    | {"permute", "view", "reshape", "contiguous", "clone", "detach", "cat", "stack", "unbind"}
)
"""Operators (of aten) that hand a state on as it is."""
_SYMBOLIC = (SymInt, SymFloat, SymBool)


class Clocks:
    """The clocks of a program's nodes, and the plans of those that do not stay as they are.

    Attributes:
        clocks: by node.
        plans: by node, where there is one.
        waits: by node, how much later a tensor comes so that it does not run beyond its own end,
            in its frames; where it has to. Its clock's delay counts it.
    """

    def __init__(self, program: Program) -> None:
        """Gives every node its clock.

        Raises:
            StreamingError: an operator mixes frames in a way that is not known to stream.
        """
        self._begin(program)
        self._read()

    @classmethod
    def as_far_as_known(cls, program: Program) -> tuple[Clocks, StreamingError | None]:
        """The clocks up to the first operator that is refused, and that refusal."""
        found = cls.__new__(cls)
        found._begin(program)
        try:
            found._read()
        except StreamingError as error:
            return found, error
        return found, None

    def _begin(self, program: Program) -> None:
        self.clocks: dict[Node, Clock] = {}
        self.plans: dict[Node, Plan] = {}
        self.waits: dict[Node, int] = {}
        self._program = program
        self._time = time_symbol(program)
        self._unit = time_unit(program)
        self._frames: dict[Node, sympy.Expr] = {}
        self._starts = {state.start for state in program.states}
        self._attentions = Attentions(program, self._time, self.clocks)

    def _read(self) -> None:
        for node in self._program.graph_module.graph.nodes:
            if node.op == "output":
                continue
            try:
                timed = self._timed(node)
            except OddAxisError as error:
                reason = Names.of(self._program).text(str(error))
                raise refuse(node, reason, _WAYS_OUT) from error
            self.clocks[node] = timed.clock
            if timed.plan is not None:
                self.plans[node] = timed.plan
            if wait := self._wait(node):
                self.waits[node] = wait
                self.clocks[node] = replace(timed.clock, delay=timed.clock.delay + wait)

    # -- one node ---------------------------------------------------------------------------------

    def _timed(self, node: Node) -> Timed:
        if node.op == "placeholder":
            return Timed(Clock(Flow.START) if node in self._starts else self._input(node))
        if node.target is operator.getitem:
            return self._getitem(node)
        is_number = not isinstance(node.meta.get("val"), (Tensor, tuple, list))
        if node.op == "get_attr" or is_number:
            return Timed(FIXED)
        return self._operator(node)

    def _wait(self, node: Node) -> int:
        """Rule 9."""
        clock = self.clocks[node]
        has_place = clock.place is not None and not clock.place.is_folded and not clock.even
        sources = (self.clocks[source].flow for source in node.all_input_nodes)
        is_computed = clock.flow is Flow.FRAMES and Flow.FRAMES in sources
        return clock.wait() if has_place and is_computed else 0

    def _operator(self, node: Node) -> Timed:
        if self._attentions.concerns(node):
            return self._attention(node)
        self._refuse_length_as_value(node)
        sources = [s for s in node.all_input_nodes if self.clocks[s] is not FIXED]
        if operator_name(node) in CREATION:
            first = any(self.clocks[source].flow is Flow.FIRST for source in sources)
            return Timed(self._created(node), Blank() if first else Join({}))
        if is_over_time(node, self.clocks):
            return self._recurrence(node)
        flows = {self.clocks[source].flow for source in sources}
        if flows - {Flow.FRAMES}:
            return self._without_frames(node, flows)
        return self._of_frames(node, sources) if sources else self._constant(node)

    def _without_frames(self, node: Node, flows: set[Flow]) -> Timed:
        """An operator over something that is neither fixed nor a sequence of frames."""
        if Flow.START in flows:
            return Timed(_start(node, flows))
        if Flow.LATEST in flows:
            return Timed(self._latest(node, flows))
        return self._first_frames(node)

    def _input(self, node: Node) -> Clock:
        axis = find_axis(node, self._time)
        if axis is None:
            return FIXED
        self._frames[node] = shape_of(node)[axis]
        return Clock(Flow.FRAMES, Place(axis))

    def _created(self, node: Node) -> Clock:
        """A constant; ``zeros_like(x)`` comes when `x` does."""
        axis = find_axis(node, self._time)
        if axis is None:
            return FIXED
        like = node.args[0] if node.args and isinstance(node.args[0], Node) else None
        clock = self.clocks[like] if like is not None else FIXED
        same = clock.place is not None and like is not None and _same_shape(node, like)
        if same and like is not None and clock.edges is None:
            self._frames[node] = self._frames[like]
            return replace(clock, even=True)
        place, length = self._even(node, axis)
        return Clock(Flow.FRAMES, place, length.rate, 0, length, even=True)

    def _even(self, node: Node, axis: int) -> tuple[Place, Length]:
        """Where frames lie in a constant, repeated for each: as many as the axis has."""
        total = shape_of(node)[axis]
        others = sympy.prod([s for s in total.free_symbols if s != self._time])
        frames = sympy.cancel(total / others) if others in total.free_symbols else total
        self._frames[node] = frames
        return Place(axis, sympy.S.One, sympy.cancel(total / frames)), self._length(frames)

    def _constant(self, node: Node) -> Timed:
        axis = find_axis(node, self._time)
        if axis is not None and operator_name(node) == "arange":
            self._frames[node] = shape_of(node)[axis]
            return clock_positions(node, self._length(self._frames[node]))
        place = None
        if axis is not None:
            place, length = self._even(node, axis)
        check_frames(node, {}, place)
        if place is None:
            return Timed(FIXED)
        return clock_join(node, Clock(Flow.FRAMES, place, length.rate, 0, length, even=True), {})

    def _of_frames(self, node: Node, sources: list[Node]) -> Timed:
        """An operator over tensors with frames."""
        name = operator_name(node)
        first = sources[0]
        inputs = self.clocks[first]
        if takes_last_frame(node, inputs.place):
            return Timed(replace(inputs, flow=Flow.LATEST, place=None))
        axis = find_axis(node, self._time)
        timed = None
        if name == "cat" and inputs.place is not None and joins_time(node, inputs.place):
            length = self._length_at(node, axis)
            timed = clock_joined(node, self._program, self.clocks, length)
        elif first is node.args[0] and inputs.place is not None:
            timed = self._along_time(node, inputs, inputs.place, axis)
        if timed is not None:
            if axis is not None:
                self._frames[node] = shape_of(node)[axis]
            return timed
        return self._framewise(node, sources, axis)

    def _along_time(
        self, node: Node, inputs: Clock, place: Place, axis: int | None
    ) -> Timed | None:
        """What the passes say of an operator along time; None when it does not run along time."""
        name = operator_name(node)
        if name in PADS and pads_time(node, place):
            return clock_pad(node, inputs, self._length_at(node, axis))
        if name in ("slice", "select") and axis_of(node) == place.axis and not place.is_folded:
            if name == "select" or axis is None:
                return Timed(Clock(Flow.FIRST))
            frames = self._frames[source_of(node)]
            return clock_slice(node, inputs, self._length_at(node, axis), frames)
        if name in ACCUMULATING:
            return clock_accumulation(node, inputs)
        if name in REPEATING and axis is not None:
            if shape_of(node)[axis] == self._frames[source_of(node)]:
                return None
            return clock_repeated(node, inputs, self._length_at(node, axis))
        shape = window_over_time(node, self._program.graph_module, place)
        if shape is not None:
            return clock_window(node, shape, inputs, self._length_at(node, axis))
        spatial = transposed_over_time(node, place)
        if spatial is not None:
            return clock_transposed(node, spatial, inputs, self._length_at(node, axis))
        return None

    def _framewise(self, node: Node, sources: list[Node], axis: int | None) -> Timed:
        """Rules 1, 7 and 8."""
        known = {s: p for s in sources if (p := self.clocks[s].place) is not None}
        place, clock = None, self.clocks[sources[0]]
        if axis is not None and known:
            source = next(iter(known))
            clock = self.clocks[source]
            place = locate(node, axis, self._frames[source], self._time, source, known[source])
        elif not isinstance(node.meta["val"], Tensor):
            place = clock.place
        check_frames(node, known, place)
        if place is None:
            return Timed(clock)
        frames = self._frames[next(iter(known))]
        ratio = place.inner if place.inner.is_number else sympy.S.One
        self._frames[node] = sympy.expand(frames * ratio)
        length = self._length(self._frames[node]) if ratio != 1 else clock.length
        result = replace(
            clock,
            place=Place(place.axis, place.outer, sympy.cancel(place.inner / ratio)),
            length=length,
            rate=clock.rate * int(sympy.numer(ratio)) / int(sympy.denom(ratio)),
        )
        return clock_join(node, result, {source: self.clocks[source] for source in known})

    def _first_frames(self, node: Node) -> Timed:
        """Rule 6."""
        raise refuse(
            node,
            "it uses frames counted from the start of the signal, which later chunks do not have",
            SEQUENCE_MODE,
        )

    def _latest(self, node: Node, flows: set[Flow]) -> Clock:
        """Rule 2."""
        if Flow.FRAMES in flows or find_axis(node, self._time) is not None:
            raise refuse(
                node,
                "what is known after the last frame only is used for all frames (an attention over "
                "time, a decoder that starts from the encoder's end)",
                SEQUENCE_MODE,
            )
        sources = [c for s in node.all_input_nodes if (c := self.clocks[s]).flow is Flow.LATEST]
        return max(sources, key=lambda clock: clock.delay)

    def _getitem(self, node: Node) -> Timed:
        source, index = node.args
        assert isinstance(source, Node)  # noqa: S101 - as fx builds it
        clock = self.clocks[source]
        if is_over_time(source, self.clocks):
            if state_of_result(source, index) is not None:
                return Timed(replace(clock, flow=Flow.LATEST, place=None))
            self._frames[node] = self._frames[sequence_of(source)]
            return Timed(clock)
        if clock.flow is not Flow.FRAMES or clock.place is None:
            return Timed(clock)
        sequence = next(s for s in made_from(node) if self.clocks[s].flow is Flow.FRAMES)
        self._frames[node] = self._frames[sequence]
        if operator_name(source) not in ACCUMULATING or source not in self.plans:
            axis = find_axis(node, self._time)
            if axis is None:
                return Timed(replace(clock, place=None))
            return Timed(replace(clock, place=replace(clock.place, axis=axis)))
        return Timed(clock, First())

    def _attention(self, node: Node) -> Timed:
        timed = self._attentions.clock(node)
        if timed.clock.flow is Flow.FRAMES:
            queries = timed.plan.scores.query if isinstance(timed.plan, Attention) else node
            self._frames[node] = self._frames[queries]
        return timed

    def _recurrence(self, node: Node) -> Timed:
        """Rule 4."""
        clock = self.clocks[sequence_of(node)]
        check_recurrence(node, self.clocks)
        if node.target is SCAN:
            return clock_scan(node, self.clocks)
        return Timed(replace(clock, even=False), Recurrence(clock))

    # -- lengths ----------------------------------------------------------------------------------

    def _length(self, frames: sympy.Expr) -> Length:
        base = Length().then(div=self._unit) if self._unit > 1 else Length()
        length = read_length(frames, self._time)
        if self._unit == 1:
            return length
        if length == Length().then(mul=self._unit):
            return Length()
        for mul, add, div in length.steps:
            base = base.then(mul, add, div)
        return base

    def _length_at(self, node: Node, axis: int | None) -> Length:
        return Length() if axis is None else self._length(shape_of(node)[axis])

    def _refuse_length_as_value(self, node: Node) -> None:
        """Rule 5: in an operator that takes sizes, they are sizes of a result that has frames."""
        counts = [
            source
            for source in node.all_input_nodes
            if isinstance(value := source.meta.get("val"), _SYMBOLIC)
            and self._time in value.node.expr.free_symbols
        ]
        if not counts:
            return
        takes_sizes = operator_name(node) in SHAPES_ONLY and not _fills(node)
        if takes_sizes and find_axis(node, self._time) is not None:
            return
        raise refuse(
            node,
            "it computes with the number of frames, which a chunk does not know",
            f"leave the length out of the computation; or {SEQUENCE_MODE}",
        )


_WAYS_OUT = f"let one axis hold the frames, and that in their order; or {SEQUENCE_MODE}"


def _same_shape(a: Node, b: Node) -> bool:
    return shape_of(a) == shape_of(b)


def _start(node: Node, flows: set[Flow]) -> Clock:
    """Rule 3."""
    if flows == {Flow.START} and operator_name(node) in STATE_VIEWS:
        return Clock(Flow.START)
    raise _refuse_start(node)


def refuse_start_as_output(node: Node, clocks: Mapping[Node, Clock]) -> None:
    """Rule 3, for an output.

    Raises:
        StreamingError: `node` is a state that forward took.
    """
    if clocks[node].flow is Flow.START:
        raise _refuse_start(node)


def _refuse_start(node: Node) -> StreamingError:
    return refuse(
        node,
        "a state that forward takes is used for something else than starting a recurrent layer, "
        "so its meaning depends on where chunks begin",
        "give it to the recurrent layer unchanged, or, if it is data, name it with --input",
    )


def check_recurrence(node: Node, clocks: Mapping[Node, Clock]) -> None:
    """Rule 4.

    Raises:
        StreamingError: it is bidirectional, starts from the signal, or has ends of its own.
    """
    clock = clocks[sequence_of(node)]
    assert clock.place is not None  # noqa: S101 - it is over time
    if clock.place.is_folded:
        raise refuse(node, "time is folded with another axis into the sequence", SEQUENCE_MODE)
    if clock.edges is not None:
        raise refuse(node, "it reads padding with the signal's own frames", SEQUENCE_MODE)
    layer = read_layer(node) if node.target is not SCAN else None
    if layer is not None and layer.lengths is not None:
        raise refuse(
            node,
            "it runs over a packed sequence: each row ends where its length says, and a stream has "
            "no padding and does not know its end",
            f"stream the sequence itself, without packing it; or {SEQUENCE_MODE}",
        )
    if layer is not None and layer.bidirectional:
        raise refuse(
            node,
            "it is bidirectional over time: its backward half needs the end of the signal first",
            f"train it with bidirectional=False, or {SEQUENCE_MODE}",
        )
    for state in initial_states(node):
        if clocks[state].flow not in (Flow.FIXED, Flow.START):
            raise refuse(
                node,
                "its initial state is computed from the signal itself",
                f"start from zeros, from a parameter, or from an argument of forward; or "
                f"{SEQUENCE_MODE}",
            )


def _fills(node: Node) -> bool:
    """Whether a computed number is the value of all elements, not a size."""
    fill = node.args[1] if len(node.args) > 1 else node.kwargs.get("fill_value")
    return "full" in operator_name(node) and isinstance(fill, Node)
