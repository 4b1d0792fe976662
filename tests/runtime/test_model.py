"""Loading a file, checking it against its contract, and running whole sequences."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import threading

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from rnnedge_runtime import ContractError, InputError, ModelFileError, RnnEdgeError, load
from rnnedge_runtime.contract import METADATA_KEY

X = np.ones((1, 3, 2), np.float32)


@pytest.fixture
def file(tmp_path, make):
    path = tmp_path / "sum.onnx"
    path.write_bytes(make.sum_file())
    return path


def test_a_model_knows_its_file(file):
    for given_path in (file, str(file)):
        model = load(given_path)
        assert model.path == file
        assert model.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        assert model.provider == "CPUExecutionProvider"
        assert repr(model) == f"<Model {file} on CPUExecutionProvider, 1 states>"
        assert repr(model.stream()) == f"<Stream of {model!r}, batch 1, after 0 frames>"


def test_a_model_may_come_as_bytes(file):
    model = load(file.read_bytes())
    assert (model.path, model.sha256) == (None, load(file).sha256)
    np.testing.assert_array_equal(model.run(X).outputs["y"], load(file).run(X).outputs["y"])


def test_metadata_leaves_out_the_contract_and_its_tensors(make):
    contract = make.sum_contract(states=(make.state("total", "batch", 2, tensor=make.key("t")),))
    data = make.file(
        contract,
        make.sum_nodes(),
        make.sum_constants(),
        metadata={"labels": "a,b"},
        tensors={make.key("t"): np.zeros((1, 2), np.float32)},
    )
    assert load(data).metadata == {"labels": "a,b"}


def test_session_options_suit_a_device(running_sum):
    options = running_sum.session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.inter_op_num_threads == 1
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert not options.enable_cpu_mem_arena
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"
    assert not running_sum.session._enable_fallback


def test_threads_are_handed_to_onnxruntime(file):
    assert load(file, threads=2).session.get_session_options().intra_op_num_threads == 2
    with pytest.raises(InputError, match="threads must be 1 or more, got 0"):
        load(file, threads=0)


def test_loading_leaves_the_callers_arithmetic_alone(file):
    load(file)
    assert np.float32(1e-42) * np.float32(1) != 0


def test_denormals_are_flushed_on_request(file):
    load(file)  # so that the one below is not this process's first, and leaves our tests alone
    options = load(file, flush_denormals=True).session.get_session_options()
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read: No such file") as caught:
        load(tmp_path / "none.onnx")
    assert caught.value.where == str(tmp_path / "none.onnx")


def test_a_folder_is_not_a_model(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 10, 0.5, 0.9])
def test_a_truncated_file_is_refused(file, keep):
    data = file.read_bytes()
    file.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(ModelFileError, match="onnxruntime cannot load the model") as caught:
        load(file)
    assert caught.value.where == str(file)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_any_damaged_byte_gives_a_model_or_an_error_of_ours(make, place, value):
    data = bytearray(make.sum_file())
    data[place % len(data)] = value
    with contextlib.suppress(RnnEdgeError):
        load(bytes(data))


def test_a_file_that_is_not_onnx_is_refused():
    with pytest.raises(ModelFileError, match="cannot load the model") as caught:
        load(b"garbage")
    assert caught.value.where == "the bytes given"


def test_a_model_without_a_contract_says_how_to_get_one(make):
    data = make.file(
        make.sum_contract(), make.sum_nodes(), make.sum_constants(), with_contract=False
    )
    with pytest.raises(ContractError, match="carries no contract") as caught:
        load(data)
    assert "`rnnedge export`" in caught.value.fix
    assert "`rnnedge adopt`" in caught.value.fix


def test_a_damaged_contract_is_refused(make):
    data = make.file(
        make.sum_contract(),
        make.sum_nodes(),
        make.sum_constants(),
        metadata={METADATA_KEY: "{"},
        with_contract=False,
    )
    with pytest.raises(ContractError, match="the contract is damaged: it is not JSON"):
        load(data)


@pytest.mark.parametrize("place", ["metadata", "node"])
def test_text_that_is_not_utf8_is_refused(make, place):
    contract = make.sum_contract(states=())
    node = make.node("Neg", ["x"], ["y"], name="marker" if place == "node" else "")
    metadata = {"note": "marker"} if place == "metadata" else {}
    data = make.file(contract, [node], metadata=metadata)
    with pytest.raises(ModelFileError, match="holds text that is not UTF-8"):
        load(data.replace(b"marker", b"\xff" * 6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ["z", "batch", "time", 2]}, "the graph has no input 'z'"),
        ({"outputs": ["z", "batch", "time", 2]}, "the graph has no output 'z'"),
        ({"states": []}, "the graph's input 'total' is not in the contract"),
        (
            {"inputs": ["x", "batch", "time", 3]},
            r"\[batch, time, 3\], the graph \[batch, time, 2\]",
        ),
        ({"inputs": ["x", "batch", "time"]}, r"says \[batch, time\], the graph"),
        ({"outputs": ["y", "batch", "time", 2, 1]}, r"says \[batch, time, 2, 1\], the graph"),
        ({"states": ["total", "batch", 3]}, r"says \[batch, 3\], the graph \[batch, 2\]"),
    ],
)
def test_a_graph_that_does_not_keep_its_contract_is_refused(make, change, message):
    (field, spec), *_ = change.items()
    build = make.state if field == "states" else make.port
    with pytest.raises(ContractError, match=f"does not keep its contract: .*{message}"):
        load(make.sum_file(**{field: (build(*spec),) if spec else ()}))


def test_element_types_must_be_the_graphs(make):
    for field, build, name in (
        ("inputs", make.port, "x"),
        ("outputs", make.port, "y"),
        ("states", make.state, "total"),
    ):
        shape = ("batch", 2) if field == "states" else ("batch", "time", 2)
        changed = (build(name, *shape, dtype="float64"),)
        with pytest.raises(ContractError, match="the contract says float64, the graph float32"):
            load(make.sum_file(**{field: changed}))


def test_an_output_that_the_contract_does_not_name_is_refused(make):
    model = onnx.load_from_string(make.sum_file())
    model.graph.output.append(helper.make_tensor_value_info("sums", 1, ["batch", "time", 2]))
    with pytest.raises(ContractError, match="the graph's output 'sums' is not in the contract"):
        load(model.SerializeToString())


def test_a_run_gives_outputs_and_final_states_by_name(running_sum):
    result = running_sum.run({"x": X})
    assert list(result.outputs) == ["y"]
    assert result.states["total"].tolist() == [[3, 3]]
    outputs, states = running_sum.run(X, states={"total": np.full((1, 2), 10, np.float32)})
    assert outputs["y"][0, 0].tolist() == [11, 11]
    assert states["total"].tolist() == [[13, 13]]


def test_a_run_without_frames_hands_the_states_through(running_sum):
    start = {"total": np.full((2, 2), 7, np.float32)}
    result = running_sum.run(np.zeros((2, 0, 2), np.float32), states=start)
    assert result.outputs["y"].shape == (2, 0, 2)
    assert result.states["total"].tolist() == [[7, 7], [7, 7]]
    assert result.states["total"] is not start["total"]


def test_a_run_leaves_out_only_what_it_may(lstm):
    model, x = lstm.load(), lstm.signal(2, 4)
    half = {"rnn.0.h": np.ones((1, 2, 5), np.float32)}
    full = model.initial_state(2) | half
    np.testing.assert_array_equal(model.run(x, half).outputs["y"], model.run(x, full).outputs["y"])


@pytest.mark.parametrize(
    ("x", "states", "message"),
    [
        (X[0], None, "3 axes are expected, got 2"),
        (X[:0], None, r"axis 0 \(batch\) must be a whole multiple of 1, at least 1, got 0"),
        ({"z": X}, None, "inputs missing: x; unknown: z"),
        (X, {"h": X}, "unknown states: h"),
        (X, {"total": np.ones((2, 2), np.float32)}, r"axis 0 \(batch\) must be 1, got 2"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(running_sum, x, states, message):
    with pytest.raises(InputError, match=message):
        running_sum.run(x, states)


def test_a_run_that_onnxruntime_refuses_is_an_input_error(make):
    contract = make.sum_contract(
        inputs=(make.port("token", "batch", "time", dtype="int64"),), states=()
    )
    data = make.file(
        contract,
        [make.node("Gather", ["table", "token"], ["y"])],
        {"table": np.ones((4, 2), np.float32)},
    )
    with pytest.raises(InputError, match="onnxruntime refused the run") as caught:
        load(data).run(np.array([[9]]))
    assert (caught.value.where, "indices" in caught.value.fix) == ("Model.run", True)


def test_a_run_takes_its_batch_from_the_states_where_no_input_has_one(make):
    contract = make.sum_contract(
        inputs=(make.port("x", "time", 2),),
        outputs=(make.port("y", "batch", "time", 2),),
    )
    nodes = [make.node("Unsqueeze", ["x", "zeros"], ["whole"])]
    for node in make.sum_nodes():
        node.input[:] = ["whole" if name == "x" else name for name in node.input]
        nodes.append(node)
    constants = make.sum_constants() | {"zeros": np.array([0])}
    model = load(make.file(contract, nodes, constants))
    assert model.run(X[0]).outputs["y"].shape == (1, 3, 2)
    states = {"total": np.ones((4, 2), np.float32)}
    assert model.run(X[0], states).outputs["y"].shape == (4, 3, 2)
    assert model.stream(batch=4).push(X[0]).shape == (4, 3, 2)


def test_threads_may_share_a_model(lstm):
    model, x = lstm.load(), lstm.signal(1, 200)
    expected = model.stream().push(x)
    results = {}

    def work(number):
        stream = model.stream()
        results[number] = np.concatenate([stream.push(x[:, t : t + 1]) for t in range(200)], axis=1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results.values():
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
        assert result.tobytes() == results[0].tobytes()


def test_errors_survive_a_trip_between_processes(running_sum):
    with pytest.raises(InputError) as caught:
        running_sum.run(X[0])
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made one line above
    assert (type(again), str(again)) == (InputError, str(caught.value))
