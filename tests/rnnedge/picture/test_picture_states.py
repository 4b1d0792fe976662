"""States are loops, or arrows back; what waits in a delay line is written on the edge."""

from __future__ import annotations

import pytest


def test_a_recurrent_state_is_a_loop_with_its_shape_without_the_batch(net, edges) -> None:
    net.output(net.gru("encoder.gru", "x", 8, 16), "y", "batch", "time", 16)
    assert "encoder.gru ~(h 1×16)~> encoder.gru" in edges(net.picture())


def test_a_state_is_no_input_and_no_output(net, boxes, edges) -> None:
    net.output(net.gru("gru", "x", 8, 16), "y", "batch", "time", 16)
    picture = net.picture()
    assert [box.title for box in picture.boxes] == ["x", "gru", "y"]
    assert edges(picture) == ["gru -> y", "gru ~(h 1×16)~> gru", "x -> gru"]


@pytest.mark.parametrize(("frames", "text"), [(1, "context 1 frame"), (4, "context 4 frames")])
def test_a_context_is_a_loop_with_how_far_back_it_reaches(net, boxes, edges, frames, text) -> None:
    net.output(net.conv("conv1", "x", frames), "y", "batch", 8, "time")
    assert edges(net.picture()) == ["conv1 -> y", f"conv1 ~({text})~> conv1", "x -> conv1"]
    assert boxes(net.picture()) == [f"conv1: Conv1d 8→8, kernel {frames + 1}"]


def test_a_context_counts_its_frames_behind_a_transpose(net, edges) -> None:
    state = net.state("conv.context", ("batch", 5, 8), "context")
    old = net.add("conv/Transpose", state, perm=[0, 2, 1])
    both = net.add("conv/Concat", old, net.add("/Transpose", "x", perm=[0, 2, 1]), axis=2)
    net.carry(net.add("conv/Slice", both, "from", "to"), state)
    net.output(net.add("conv/Conv", both, net.weight(8, 8, 6)), "y", "batch", 8, "time")
    assert "conv ~(context 5 frames)~> conv" in edges(net.picture())


def test_a_delay_line_is_written_on_the_edge_it_delays(net, boxes, edges) -> None:
    late = net.delay("x", "add")
    net.output(net.add("/Add", late, net.linear("enc", "x")), "y", "batch", "time", 8)
    assert edges(net.picture()) == ["Add -> y", "enc -> Add", "x -(delay 3)-> Add", "x -> enc"]
    assert boxes(net.picture()) == ["enc: Linear 8→8", "Add"]


def test_a_tensor_and_itself_delayed_are_two_branches(net, edges) -> None:
    enc = net.linear("enc", "x")
    net.output(net.add("/Sub", enc, net.delay(enc, "sub")), "y", "batch", "time", 8)
    assert "enc -(delay 3)-> Subtract" in edges(net.picture())
    assert "enc -> Subtract" in edges(net.picture())


def test_a_delay_inside_of_a_collapsed_module_is_a_loop_on_it(net, edges) -> None:
    late = net.delay("x", "block.add")
    first = net.linear("block.first", late)
    again = net.delay(first, "block.cat")
    net.output(net.linear("block.last", again), "y", "batch", "time", 8)
    assert edges(net.picture(1)) == [
        "block -> y", "block ~(cat.delay 3 frames)~> block", "x -(delay 3)-> block",
    ]  # fmt: skip


def test_a_state_that_forward_takes_is_a_loop_where_it_is_used(net, edges) -> None:
    state = net.state("hidden.0", (1, "batch", 16), "user")
    net.gru("rnn", "x", 8, 16)
    net.states = [s for s in net.states if s.name == state]
    node = next(node for node in net.nodes if node.op_type == "GRU")
    node.input[5], node.output[1] = state, f"{state}.next"
    net.output("rnn/Squeeze", "y", "batch", "time", 16)
    assert "rnn ~(hidden.0 1×16)~> rnn" in edges(net.picture())


def test_a_cell_written_out_has_an_arrow_back(net, boxes, edges) -> None:
    state = net.state("h", ("batch", 8), "hidden")
    product = net.add("/MatMul", state, net.weight(8, 8))
    new = net.add("/Tanh", net.add("/Add", net.linear("enc", "x"), product))
    net.carry(new, state)
    net.output(new, "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["Linear 8→8", "enc: Linear 8→8", "Add, Tanh"]
    assert "Add, Tanh ~(h 8)~> Linear 8→8" in edges(net.picture())


def test_a_running_sum_is_a_join_with_its_state(net, boxes, edges) -> None:
    state = net.state("total", ("batch", 8), "buffer")
    new = net.add("/Add", state, net.add("/ReduceSum", "x"))
    net.carry(new, state)
    net.output(new, "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["Add"]
    assert "Add ~(total 8)~> Add" in edges(net.picture())


def test_a_state_that_plumbing_alone_carries_is_a_box_of_its_own(net, boxes, edges) -> None:
    state = net.state("position", ("batch",), "buffer")
    net.carry(net.add("/Add", state, net.weight(1)), state)
    net.output(net.linear("enc", "x"), "y", "batch", "time", 8)
    assert boxes(net.picture()) == ["position", "enc: Linear 8→8"]
    assert "position ~(buffer)~> position" in edges(net.picture())


@pytest.mark.parametrize("kind", ["position", "length", "something new"])
def test_a_state_of_any_kind_is_drawn(net, edges, kind) -> None:
    state = net.state("frame", ("batch",), "buffer")
    mask = net.add("/Less", state, net.weight(1))
    for number, part in enumerate("abcde"):
        net.linear(part, net.add(f"/Where_{number}", mask, "x", net.weight(1)))
    net.carry(net.add("/Add_9", state, net.weight(1)), state)
    net.output("e/Add", "y", "batch", "time", 8)
    contract = net.contract()
    object.__setattr__(contract.states[0], "kind", kind)  # a newer runtime's, past our checks
    net.contract = lambda: contract
    assert f"frame ~({kind})~> frame" in edges(net.picture())
    assert "x -> e" in edges(net.picture())


def test_loops_of_one_box_are_one_loop_of_several_lines(net, edges) -> None:
    net.output(
        net.gru("gru", net.gru("gru", "x", 8, 16, "_1"), 16, 4, "_2"), "y", "batch", "time", 4
    )
    assert "gru ~(h_1 1×16\nh_2 1×4)~> gru" in edges(net.picture())


def test_each_call_of_a_module_has_its_own_states(net) -> None:
    first = net.late("x", "conv.context", 4, "conv")
    first = net.add("conv/Conv", first, net.weight(8, 8, 5))
    second = net.late(net.linear("enc", first), "conv.context_2", 2, "conv")
    net.output(net.add("conv/Conv_2", second, net.weight(8, 8, 3)), "y", "batch", 8, "time")
    picture = net.picture()
    calls = {box.key: box.details[-1] for box in picture.boxes if box.title == "conv"}
    assert [(calls[e.source], calls[e.target], e.label) for e in picture.edges if e.is_state] == [
        ("call 1 of 2", "call 1 of 2", "context 4 frames"),
        ("call 2 of 2", "call 2 of 2", "context_2 2 frames"),
    ]


def test_more_than_three_states_of_one_box_are_counted(u_net, edges) -> None:
    assert "encoder ~(5 context states)~> encoder" in edges(u_net.picture(1))


def test_states_of_several_kinds_are_counted_by_kind(net, edges) -> None:
    x = "x"
    for number in range(3):
        x = net.conv(f"stack.{number}", x)
    net.output(net.gru("stack.3", x, 8, 8), "y", "batch", 8, "time")
    assert "stack ~(4 states: 3 context, 1 hidden)~> stack" in edges(net.picture(1))


def test_without_a_contract_states_are_inputs_and_outputs(net) -> None:
    from rnnedge.report.picture.build import Network

    net.output(net.gru("gru", "x", 8, 16), "y", "batch", "time", 16)
    titles = [box.title for box in Network(net.model(), None).picture(1).boxes]
    assert titles == ["x", "gru.h", "gru", "y", "gru.h.next"]
