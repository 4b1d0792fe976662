"""Small mistakes in the streaming passes, each of which some quick test has to notice."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """One change of the source.

    Attributes:
        mistake: what it amounts to.
        file: in `rnnedge_exporters`.
        old: a piece of it, which occurs once.
        new: what stands there instead.
        tests: that have to fail, in tests/exporters.
    """

    mistake: str
    file: str
    old: str
    new: str
    tests: str


_S = "streaming/"
MUTATIONS = [
    Mutation(
        "a context one frame too short",
        _S + "windows.py",
        "return max(self.past + more, 0)",
        "return max(self.past + more - 1, 0)",
        "window_rules",
    ),
    Mutation(
        "a context one frame too long",
        _S + "windows.py",
        "return max(self.past + more, 0)",
        "return max(self.past + more + 1, 0)",
        "window_rules",
    ),
    Mutation(
        "a window that waits one frame too long",
        _S + "windows.py",
        "later = -((stride - 1 - reach - delay) // stride)",
        "later = 1 - ((stride - 1 - reach - delay) // stride)",
        "window_rules",
    ),
    Mutation(
        "a window's padding before the signal left out",
        _S + "windows.py",
        "left=shape.left > 0 and self.inputs.delay > 0,",
        "left=False,",
        "window_rules",
    ),
    Mutation(
        "a window's padding after the signal left out",
        _S + "windows.py",
        "right=shape.right > 0",
        "right=False",
        "window_rules",
    ),
    Mutation(
        "zero in place of a maximum's padding",
        _S + "windows.py",
        "fill=shape.fill, chunk=chunk",
        "chunk=chunk",
        "window_rules",
    ),
    Mutation(
        "zero taps read",
        _S + "windows.py",
        "return int(read[0]), len(taps) - 1 - int(read[-1])",
        "return 0, 0",
        "window_rules",
    ),
    Mutation(
        "padding before the signal left out",
        _S + "padding.py",
        "left = self.left > 0 and clock.delay > 0",
        "left = False",
        "padding",
    ),
    Mutation(
        "padding after the signal left out",
        _S + "padding.py",
        "right = self.right > writer.spare[node]",
        "right = False",
        "padding",
    ),
    Mutation(
        "padding after the signal written though nobody reads it",
        _S + "padding.py",
        "right = self.right > writer.spare[node]",
        "right = self.right > 0",
        "padding",
    ),
    Mutation(
        "padding that does not move the start",
        _S + "padding.py",
        "delay=inputs.delay - left,\n        length=length,",
        "delay=inputs.delay,\n        length=length,",
        "padding",
    ),
    Mutation(
        "joined frames that do not move the start",
        _S + "padding.py",
        "return Timed(replace(inputs, delay=inputs.delay - left, length=length, even=False), plan)",
        "return Timed(replace(inputs, length=length, even=False), plan)",
        "padding",
    ),
    Mutation(
        "a mirror at the start off by one",
        _S + "edges.py",
        "first = edges.left\n",
        "first = edges.left + 1\n",
        "edges",
    ),
    Mutation(
        "a mirror at the end off by one",
        _S + "edges.py",
        "end, edges.right + 1)",
        "end, edges.right)",
        "edges",
    ),
    Mutation(
        "a context that does not reach the mirrored frames",
        _S + "edges.py",
        'return edges.right * (2 if edges.mode == "reflect" else 1)',
        "return 0",
        "edges",
    ),
    Mutation(
        "a window that does not wait for mirrored frames",
        _S + "edges.py",
        'return (edges.left - first) * (2 if edges.mode == "reflect" else 1)',
        "return 0",
        "edges",
    ),
    Mutation(
        "frames cut off at the start that are no delay",
        _S + "shifts.py",
        "return Timed(replace(inputs, delay=inputs.delay + first, length=length, edges=edges), Sam",
        "return Timed(replace(inputs, length=length, edges=edges), Sam",
        "shifts",
    ),
    Mutation(
        "every so-manieth frame, from the wrong one",
        _S + "shifts.py",
        "past = step * clock.delay - inputs.delay - first",
        "past = step * clock.delay - inputs.delay",
        "shifts",
    ),
    Mutation(
        "a branch that does not wait",
        _S + "joins.py",
        "delays = {source: meeting - clock.delay for source, clock in waiting.items()}",
        "delays = {source: 0 for source in waiting}",
        "joins",
    ),
    Mutation(
        "a delay line one frame too short",
        _S + "joins.py",
        "delays = {source: meeting - clock.delay for source, clock in waiting.items()}",
        "delays = {s: max(meeting - clock.delay - 1, 0) for s, clock in waiting.items()}",
        "joins",
    ),
    Mutation(
        "a group of frames that is not waited for",
        _S + "joins.py",
        "meeting = delay * step.denominator // step.numerator",
        "meeting = latest",
        "joins",
    ),
    Mutation(
        "states that are not handed on",
        _S + "writer.py",
        "self.states = [s.ending(end) if s.start is start else s for s in self.states]",
        "return",
        "window_rules",
    ),
    Mutation(
        "a delay line's frames taken one too late",
        _S + "writer.py",
        "self._cache[key] = self.slice(origin, joined, axis, 0, -by)",
        "self._cache[key] = self.slice(origin, joined, axis, by, None)",
        "joins",
    ),
    Mutation(
        "one frame too many counted to the signal",
        _S + "writer.py",
        "checks.append(self.call(origin, aten.lt.Tensor, index, end))",
        "checks.append(self.call(origin, aten.le.Tensor, index, end))",
        "padding",
    ),
    Mutation(
        "one frame before the signal counted to it",
        _S + "writer.py",
        "checks.append(self.call(origin, aten.ge.Scalar, index, 0))",
        "checks.append(self.call(origin, aten.ge.Scalar, index, -1))",
        "padding",
    ),
    Mutation(
        "positions that forget the delay",
        _S + "writer.py",
        "            if late:\n",
        "            if False:\n",
        "padding",
    ),
    Mutation(
        "initial history zero instead of computed",
        _S + "history.py",
        "return torch.cat([ours.new_full(shape, fill), ours], clock.place.axis)",
        "return torch.cat([ours.new_full(shape, fill), 0 * ours], clock.place.axis)",
        "history",
    ),
    Mutation(
        "initial history taken one frame off",
        _S + "history.py",
        "run[node].narrow(clock.place.axis, early - known, known)",
        "run[node].narrow(clock.place.axis, early - known + 1, known)",
        "history",
    ),
    Mutation(
        "history that is not compared between two runs",
        _S + "history.py",
        "if not torch.equal(ours, theirs):",
        "if False:",
        "history",
    ),
    Mutation(
        "a recurrent layer not held back",
        _S + "recurrent_state.py",
        "if self.inputs.delay > 0:",
        "if False:",
        "recurrent_state",
    ),
    Mutation(
        "a recurrent layer held back one frame less",
        _S + "recurrent_state.py",
        "early = call(node, aten.clamp.default, call(node, aten.neg.default, first), 0)",
        "early = call(node, aten.clamp.default, call(node, aten.rsub.Scalar, first, -1), 0)",
        "recurrent_state",
    ),
    Mutation(
        "a state changed by chunks before the signal",
        _S + "recurrent_state.py",
        "finals[place] = call(node, aten.where.self, none, args[place], final)",
        "finals[place] = final",
        "recurrent_state",
    ),
    Mutation(
        "a recurrent layer that has not run over padding",
        _S + "recurrent_state.py",
        "if self.inputs.delay >= 0:",
        "if True:",
        "recurrent_state",
    ),
    Mutation(
        "an attention window one frame too short",
        _S + "attention.py",
        "back, ahead = max(int(distances.max()), 0), max(",
        "back, ahead = max(int(distances.max()) - 1, 0), max(",
        "attention_rules",
    ),
    Mutation(
        "a frame before the signal that gets weight",
        _S + "attention.py",
        "absent = writer.call(node, aten.lt.Scalar, index, 0)",
        "absent = writer.call(node, aten.lt.Scalar, index, -1)",
        "attention_rules",
    ),
    Mutation(
        "a frame after the signal that gets weight",
        _S + "attention.py",
        "after = writer.call(node, aten.ge.Tensor, index, end)",
        "after = writer.call(node, aten.gt.Tensor, index, end)",
        "attention_rules",
    ),
    Mutation(
        "queries that do not wait for the frames ahead",
        _S + "attention.py",
        "queries = writer.delayed(node, query, self.delay - writer.clocks[query].delay)",
        "queries = writer.value(query)",
        "attention_rules",
    ),
    Mutation(
        "a transposed convolution's past one frame too short",
        _S + "upsampling.py",
        "past = self.span // self.stride\n        ends",
        "past = max(self.span // self.stride - 1, 0)\n        ends",
        "upsampling",
    ),
    Mutation(
        "a transposed convolution's cut that is no delay",
        _S + "upsampling.py",
        "delay = inputs.delay * stride + cut",
        "delay = inputs.delay * stride",
        "upsampling",
    ),
    Mutation(
        "frames before the signal added by a transposed convolution",
        _S + "upsampling.py",
        "left=past > 0 and self.inputs.delay > 0",
        "left=False",
        "upsampling",
    ),
    Mutation(
        "frames after the signal added by a transposed convolution",
        _S + "upsampling.py",
        "right=past > 0 and ends_read",
        "right=False",
        "upsampling",
    ),
    Mutation(
        "frames before the signal summed",
        _S + "accumulation.py",
        "left=self.inputs.delay > 0, right=False",
        "left=False, right=False",
        "accumulation",
    ),
    Mutation(
        "a total that starts from zero",
        _S + "accumulation.py",
        "if is_extreme else node, 1, neutral)",
        "if is_extreme else node, 1, 0.0)",
        "accumulation",
    ),
    Mutation(
        "positions that start from zero",
        _S + "positions.py",
        "if self.start != 0:",
        "if False:",
        "positions",
    ),
    Mutation(
        "the end of padding read as if it was spared",
        _S + "spare.py",
        "return max(0, spare - plan.right)",
        "return spare",
        "spare",
    ),
    Mutation(
        "the reader that reads least decides",
        _S + "spare.py",
        "spare[node] = min(read_by",
        "spare[node] = max(read_by",
        "spare",
    ),
    Mutation(
        "what a slice cuts off counted as read",
        _S + "spare.py",
        "return spare + least_difference(theirs.length, ours.length, 1) - first",
        "return spare",
        "spare",
    ),
    Mutation(
        "an output that runs beyond its end while the input lasts",
        _S + "stream.py",
        "by = max(0, -clock.delay, beyond)",
        "by = max(0, -clock.delay)",
        "shifts",
    ),
    Mutation(
        "steps of a length merged wrongly",
        _S + "length.py",
        "merged = (mul0, add0 + div0 * add, div0 * div)",
        "merged = (mul0, add0 + add, div0 * div)",
        "length",
    ),
    Mutation(
        "a transform turned the other way round",
        "capture/instead.py",
        "return torch.cat([angles.cos(), -angles.sin()]).to(dtype)",
        "return torch.cat([angles.cos(), angles.sin()]).to(dtype)",
        "instead_rules",
    ),
    Mutation(
        "the middle frequency counted twice",
        "capture/instead.py",
        "    if n_fft % 2 == 0:\n        count[-1] = 1.0\n",
        "",
        "instead_rules",
    ),
    Mutation(
        "a module traced at the usual length, though its window is longer",
        "capture/lengths.py",
        "_FACTORS = (1, 4, 16, 64, 256, 1024, 4096)",
        "_FACTORS = (1,)",
        "lengths",
    ),
]
