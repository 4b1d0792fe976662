"""Contexts carried as one tensor; tests are named after the rules of `pack_contexts.py`."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from graphs import after, graph, kinds, random, run, weights

from rnnedge_exporters.optimize import Part, pack_contexts
from rnnedge_exporters.packing import apart, pack_states, packable, together
from rnnedge_runtime.contract import TENSOR_KEY_PREFIX, Contract, Port, State

TEXT = """g (float[batch, 3, 1] x, float[batch, 3, 2] p, float[batch, 4, 6] q)
    => (float[batch, 5, 1] y, float[batch, 3, 2] p_next, float[batch, 4, 6] q_next) {
    a = Concat <axis = 2> (p, x)
    p_next = Slice (a, two_back, end, two, one)
    b = Conv <kernel_shape = [3]> (a, w, bias)
    c = Tanh (b)
    d = Concat <axis = -1> (q, c)
    q_next = Slice (d, six_back, end, two, one)
    y = Conv <dilations = [3]> (d, v) }"""
NUMBERS = {"two_back": [-2], "six_back": [-6], "end": [2**62], "two": [2], "one": [1]}
PARTS = [Part("p", 3, 2), Part("q", 4, 6)]


def packed(text=TEXT, groups=("p", "q"), kernel=(5, 4, 3)):
    numbers = {name: np.array(value) for name, value in NUMBERS.items()}
    before = graph(text, w=weights(4, 3, 3), v=weights(*kernel), bias=weights(4), **numbers)
    for place in (*before.graph.output, *before.graph.value_info):
        place.name = place.name.replace("_next", ".next")  # the parser has no dots in names
    for node in before.graph.node:
        node.output[0] = node.output[0].replace("_next", ".next")
    found = {}
    now = after(before, lambda model: found.update(pack_contexts(model, {"all": groups})))
    return before, now, found


def test_a_convolution_reads_its_frames_as_a_row():
    _, now, found = packed()
    assert found == {"all": PARTS}
    assert "Conv" not in kinds(now)
    assert "Slice" not in kinds(now)
    assert kinds(now).count("Gemm") == 2
    assert kinds(now).count("Split") == 1


@pytest.mark.parametrize("batch", [1, 3])
def test_the_oldest_frame_leaves_and_the_new_one_is_put_at_the_end(batch):
    before, now, found = packed()
    feeds = random(before, batch)
    for step in range(9):  # until each frame has been everywhere
        feeds["x"] = random(before, batch, seed=step)["x"]
        expected, got = run(before, feeds), run(now, together(feeds, found))
        np.testing.assert_allclose(got["y"], expected["y"], atol=1e-5)
        after_it = apart({"all": got["all.next"]}, found)
        for name, value in after_it.items():
            np.testing.assert_allclose(value, expected[f"{name}.next"], atol=1e-6)
            feeds[name] = value


@pytest.mark.parametrize(
    ("old", "new", "kernel"),
    [
        ("dilations = [3]", "group = 2, dilations = [3]", (6, 2, 3)),
        ("dilations = [3]", "pads = [1, 0], dilations = [3]", (5, 4, 3)),
        ("dilations = [3]", "dilations = [2]", (5, 4, 3)),
        ("v) }", "v)\n    z = Neg (d) }", (5, 4, 3)),
        ("(d, six_back", "(d, two_back", (5, 4, 3)),
    ],
    ids=["groups", "padding", "not all of it", "read elsewhere", "another part"],
)
def test_what_cannot_be_a_row_stays_as_it_is(old, new, kernel):
    text = TEXT.replace(old, new).replace("float[batch, 5, 1] y", "float[batch, n, later] y")
    if "two_back, end" in new or "(d, two_back" in new:
        text = text.replace("float[batch, 4, 6] q_next", "float[batch, 4, 2] q_next")
    if "Neg" in new:
        text = text.replace("=> (", "=> (float[batch, 4, 7] z, ")
    before, now, found = packed(text, kernel=kernel)
    assert found == {}
    assert kinds(now) == kinds(before)


def test_one_context_alone_is_not_packed():
    before, now, found = packed(groups=("q",))
    assert found == {}
    assert kinds(now) == kinds(before)


def state(name, channels, frames, **more):
    shape = ("batch", channels, frames)
    return State(name, name, f"{name}.next", "float32", shape, 0, "context", **more)


CONTRACT = Contract(
    "stream",
    (Port("x", "float32", ("batch", 3, "time"), 0, 2),),
    (Port("y", "float32", ("batch", 5, "time"), 0, 2),),
    (state("p", 3, 2), state("h", 1, 1), state("q", 4, 6)),
)


def test_states_that_lag_by_different_numbers_of_frames_are_not_packed_together():
    late = replace(CONTRACT, states=(*CONTRACT.states, state("r", 2, 2, delay=3)))
    assert packable(late) == {"contexts": ["p", "h", "q"], "contexts_2": ["r"]}


@pytest.mark.parametrize("field", ["kind", "batch_axis", "dtype"])
def test_only_contexts_of_rows_are_packed(field):
    other = {"kind": "buffer", "batch_axis": None, "dtype": "float16"}[field]
    shape = (2, 3, 2) if field == "batch_axis" else CONTRACT.states[0].shape
    changed = replace(CONTRACT.states[0], shape=shape, **{field: other})
    assert packable(replace(CONTRACT, states=(changed,))) == {}


def test_a_packed_states_initial_value_is_that_of_its_parts():
    values = np.arange(24, dtype="<f4").reshape(4, 6)
    key = TENSOR_KEY_PREFIX + "q"
    states = (state("p", 3, 2, fill=2.0), state("h", 1, 1), state("q", 4, 6, tensor=key))
    metadata = {key: base64.b64encode(values.tobytes()).decode(), "mine": "kept"}
    contract, texts = pack_states(replace(CONTRACT, states=states), metadata, {"contexts": PARTS})
    assert [(s.name, s.shape) for s in contract.states] == [
        ("h", ("batch", 1, 1)),
        ("contexts", ("batch", 30)),
    ]
    assert set(texts) == {"mine", TENSOR_KEY_PREFIX + "contexts"}
    data = np.frombuffer(base64.b64decode(texts[TENSOR_KEY_PREFIX + "contexts"]), "<f4")
    found = apart({"contexts": data[None]}, {"contexts": PARTS})
    np.testing.assert_array_equal(found["p"], np.full((1, 3, 2), 2))
    np.testing.assert_array_equal(found["q"], values[None])


def test_parts_that_begin_with_one_number_need_no_tensor():
    contract, texts = pack_states(CONTRACT, {}, {"contexts": PARTS})
    assert (contract.states[-1].fill, contract.states[-1].tensor, texts) == (0.0, None, {})
