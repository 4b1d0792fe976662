"""States: where they start, how rows are told apart, and how they are read and written."""

from __future__ import annotations

import numpy as np
import pytest

from rnnedge_runtime import ContractError, InputError, load

FOLDED = [
    # shape, batch_outer: an axis is [batch_outer, batch, factor / batch_outer] flattened
    (("batch", 4), 1),
    ((2, "batch", 4), 1),
    (("6*batch", 4), 1),
    (("6*batch", 4), 2),
    (("6*batch", 4), 6),
    ((3, "6*batch"), 3),
]


def _axis(shape):
    return next(i for i, dim in enumerate(shape) if isinstance(dim, str))


def _stored(make, shape, outer, batch=3):
    """A model with one stored initial value, which it leaves alone, and a stream of it."""
    contract = make.sum_contract(
        states=(
            make.state("total", "batch", 2),
            make.state("memory", *shape, batch_outer=outer, tensor=make.key("memory")),
        )
    )
    one_row = [
        dim if isinstance(dim, int) else int((dim + "*1").split("*")[0].replace("batch", "1"))
        for dim in shape
    ]
    value = np.arange(np.prod(one_row), dtype=np.float32).reshape(one_row) + 1
    nodes = [*make.sum_nodes(), make.node("Add", ["memory", "memory"], ["memory.next"])]
    data = make.file(contract, nodes, make.sum_constants(), tensors={make.key("memory"): value})
    return load(data), value


def _rows(array, axis, outer, inner):
    """[..., outer, batch, inner, ...] with the batch first: written out, to check `rows_of`."""
    shape = array.shape
    batch = shape[axis] // (outer * inner)
    apart = array.reshape(*shape[:axis], outer, batch, inner, *shape[axis + 1 :])
    return np.moveaxis(apart, axis + 1, 0)


@pytest.mark.parametrize(("shape", "outer"), FOLDED)
def test_a_stored_value_starts_every_row(make, shape, outer):
    model, value = _stored(make, shape, outer)
    axis = _axis(shape)
    inner = value.shape[axis] // outer
    rows = _rows(model.stream(batch=3).state["memory"], axis, outer, inner)
    for row in rows:
        np.testing.assert_array_equal(row, _rows(value, axis, outer, inner)[0])


@pytest.mark.parametrize(("shape", "outer"), FOLDED)
def test_a_reset_row_is_bit_for_bit_a_new_one_and_the_others_stay(make, shape, outer):
    model, value = _stored(make, shape, outer)
    axis = _axis(shape)
    inner = value.shape[axis] // outer
    stream = model.stream(batch=3)
    stream.push(np.ones((3, 1, 2), np.float32))
    before = _rows(stream.state["memory"], axis, outer, inner)
    stream.reset(rows=[1])
    after = _rows(stream.state["memory"], axis, outer, inner)
    fresh = _rows(model.stream(batch=3).state["memory"], axis, outer, inner)
    assert after[1].tobytes() == fresh[1].tobytes()
    assert after[[0, 2]].tobytes() == before[[0, 2]].tobytes()
    assert stream.state["total"].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert stream.frames == 1


def test_a_reset_stream_is_bit_for_bit_a_new_one(lstm):
    model, x = lstm.load(), lstm.signal(batch=2, frames=20)
    first = model.stream(batch=2)
    fresh = first.push(x)
    first.reset()
    assert first.frames == 0
    np.testing.assert_array_equal(first.push(x), fresh)


def test_reset_of_all_rows_by_number_is_a_whole_reset(running_sum):
    stream = running_sum.stream(batch=2)
    stream.push(np.ones((2, 1, 2), np.float32))
    stream.reset(rows=np.array([1, 0, 1]))
    assert stream.frames == 0
    assert stream.state["total"].tolist() == [[0, 0], [0, 0]]


def test_reset_of_no_rows_does_nothing(running_sum):
    stream = running_sum.stream()
    stream.push(np.ones((1, 1, 2), np.float32))
    stream.reset(rows=[])
    assert (stream.frames, stream.state["total"].tolist()) == (1, [[1, 1]])


@pytest.mark.parametrize("rows", [[2], [-1], [0.5], ["0"], 0, [True, False], [np.True_]])
def test_rows_that_are_not_there_are_refused(running_sum, rows):
    stream = running_sum.stream(batch=2)
    stream.push(np.ones((2, 1, 2), np.float32))
    with pytest.raises(InputError, match="rows must be a list of whole numbers from 0 to 1"):
        stream.reset(rows=rows)
    assert stream.state["total"].tolist() == [[1, 1], [1, 1]]


def test_a_state_without_a_batch_axis_is_reset_as_a_whole_or_not_at_all(make):
    contract = make.sum_contract(
        states=(make.state("total", "batch", 2), make.state("count", fill=1)),
    )
    nodes = [*make.sum_nodes(), make.node("Add", ["count", "count"], ["count.next"])]
    stream = load(make.file(contract, nodes, make.sum_constants())).stream(batch=2)
    stream.push(np.ones((2, 1, 2), np.float32))
    with pytest.raises(InputError, match="no batch axis, so that rows cannot be reset") as caught:
        stream.reset(rows=[0])
    assert caught.value.where == "state 'count'"
    assert stream.state["total"].tolist() == [[1, 1], [1, 1]]
    stream.reset()
    assert (stream.state["count"], stream.state["total"].tolist()) == (1, [[0, 0], [0, 0]])


def test_states_start_at_their_fill(make):
    states = (make.state("total", "batch", 2, fill=-1.5),)
    model = load(make.sum_file(states=states))
    assert model.initial_state(2)["total"].tolist() == [[-1.5, -1.5], [-1.5, -1.5]]
    assert model.stream().push(np.ones((1, 1, 2), np.float32)).tolist() == [[[-0.5, -0.5]]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing from the file"),
        ("AAAA*", "is not base64"),
        ("é", "is not base64"),
        ("AAAA", r"has 3 bytes; \[1, 2\] float32 takes 8"),
    ],
)
def test_a_stored_value_that_is_damaged_is_refused(make, text, message):
    contract = make.sum_contract(states=(make.state("total", "batch", 2, tensor=make.key("t")),))
    metadata = {} if text is None else {make.key("t"): text}
    data = make.file(contract, make.sum_nodes(), make.sum_constants(), metadata=metadata)
    with pytest.raises(ContractError, match=message) as caught:
        load(data)
    assert "state 'total', metadata 'rnnedge.tensor.t'" in str(caught.value)


def test_states_read_are_copies_that_cannot_be_written(running_sum):
    stream = running_sum.stream()
    taken = stream.state["total"]
    with pytest.raises(ValueError, match="read-only"):
        taken[...] = 1
    stream.push(np.ones((1, 1, 2), np.float32))
    assert taken.tolist() == [[0, 0]]


def test_states_can_be_set_by_name(lstm):
    stream, x = lstm.load().stream(), lstm.signal(1, 10)
    stream.push(x[:, :5])
    other = lstm.load().stream()
    other.set_state(stream.state)
    np.testing.assert_array_equal(other.push(x[:, 5:]), stream.push(x[:, 5:]))


def test_a_state_that_is_set_is_copied(running_sum):
    stream, value = running_sum.stream(), np.ones((1, 2), np.float32)
    stream.set_state({"total": value})
    value[...] = 7
    assert stream.state["total"].tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sum": np.ones((1, 2), np.float32)}, "unknown states: sum"),
        ({"total": np.ones((1, 2))}, "element type float32 is expected, got float64"),
        ({"total": np.ones((2, 2), np.float32)}, r"axis 0 \(batch\) must be 1, got 2"),
        ({"total": np.ones((1, 3), np.float32)}, "axis 1 must be 2, got 3"),
        ({"total": np.ones(2, np.float32)}, "2 axes are expected, got 1"),
        ({"total": [[1, 1]]}, "a numpy array is expected, got list"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(running_sum, values, message):
    stream = running_sum.stream()
    stream.push(np.ones((1, 1, 2), np.float32))
    with pytest.raises(InputError, match=message):
        stream.set_state(values)
    with pytest.raises(InputError, match=message.replace("1, got 2", "1, got 2")):
        running_sum.run(np.ones((1, 1, 2), np.float32), states=values)
    assert stream.state["total"].tolist() == [[1, 1]]


def test_setting_states_is_all_or_nothing(lstm):
    stream = lstm.load().stream()
    values = {"rnn.0.h": np.ones((1, 1, 5), np.float32), "rnn.1.h": np.ones((1, 1, 4), np.float32)}
    with pytest.raises(InputError, match="axis 2 must be 5, got 4"):
        stream.set_state(values)
    assert not stream.state["rnn.0.h"].any()


def test_a_fork_goes_its_own_way(lstm):
    stream, x = lstm.load().stream(batch=2), lstm.signal(2, 30)
    stream.push(x[:, :10])
    twin = stream.fork()
    assert (twin.frames, twin.batch, twin.model) == (10, 2, stream.model)
    expected = stream.fork().push(x[:, 10:])
    twin.push(x[:, 20:])
    np.testing.assert_array_equal(stream.push(x[:, 10:]), expected)
    assert (twin.frames, stream.frames) == (20, 30)
