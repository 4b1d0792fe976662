"""What a candidate lost beside its reference: noise, error over time, metrics, budgets, choices."""

import math

import numpy as np
import pytest
from onnx import helper
from quantized_models import layer_file, recurrent_file

from rnnedge.quality import Budget, Metric, MetricError, compare, load_metric, random_inputs
from rnnedge.quality.compare import CompareError, Reference, output_quality
from rnnedge.quality.result import OutputQuality, Quality
from rnnedge.quality.search import Sensitivity, keep_within, rank
from rnnedge_runtime import InputError, load

SHAPE = ("batch", "time", 4)


def scaled(*factors):
    """``y = x * factors``, the factors four numbers or one."""
    nodes = [helper.make_node("Mul", ["x", "k"], ["y"])]
    return load(layer_file(nodes, {"k": np.array(factors, np.float32)}, SHAPE, SHAPE))


def quality(drop=None, snr_db=30.0):
    output = OutputQuality("y", snr_db, 0.1, (0.1,) * 10)
    return Quality((output,), "data", 1, 10, 1, "metric" if drop is not None else None, {}, drop)


def test_noise_is_the_power_of_the_difference():
    x = np.random.default_rng(0).standard_normal((2, 50, 4)).astype(np.float32)
    found = compare(scaled(1.1), scaled(1.0), {"x": x})
    assert found.outputs[0].snr_db == pytest.approx(20.0, abs=1e-4)
    assert found.outputs[0].max_abs == pytest.approx(0.1 * np.abs(x).max(), rel=1e-5)
    assert (found.rows, found.frames, found.chunk_frames) == (2, 50, 1)


def test_the_same_file_has_no_noise_and_no_growth():
    found = compare(scaled(2.0), scaled(2.0))
    assert math.isinf(found.snr_db)
    assert found.outputs[0].growth is None
    assert found.to_dict()["outputs"][0]["snr_db"] is None
    assert found.data == "random signals, seed 0"


def test_an_output_that_is_no_number_keeps_no_budget():
    quiet = OutputQuality("a", 60.0, 0.1, (0.1,) * 10)
    port = scaled(1.0).contract.outputs[0]
    lost = output_quality(port, np.ones((1, 20, 4)), np.full((1, 20, 4), np.nan))
    assert lost.snr_db == -math.inf
    both = Quality((quiet, lost), "data", 1, 20, 1)
    assert Budget(min_snr_db=1.0).broken_by(both) == ["-inf dB, at least 1 dB asked for"]


def test_an_error_that_grows_is_seen():
    x = np.ones((1, 60, 4), np.float32) * np.linspace(0, 1, 60, dtype=np.float32)[:, None]
    found = compare(scaled(1.01), scaled(1.0), {"x": x}).outputs[0]
    assert found.grows
    assert found.growth > 3
    steady = compare(scaled(1.01), scaled(1.0), {"x": np.ones((1, 60, 4), np.float32)}).outputs[0]
    assert not steady.grows
    assert steady.growth == pytest.approx(1)


def test_any_chunk_gives_the_same_frames():
    model = load(recurrent_file("GRU"))
    x = {"x": np.random.default_rng(1).standard_normal((25, 2, 24)).astype(np.float32)}
    for chunk in (1, 4, 25, 40):
        reference = Reference(model, x, name="x", chunk=chunk)
        np.testing.assert_allclose(
            reference.outputs["y"], model.run(x).outputs["y"], rtol=1e-4, atol=1e-5
        )


def test_random_whole_numbers_are_rows_of_the_smallest_table():
    table = np.ones((7, 4), np.float32)
    node = helper.make_node("Gather", ["w", "x"], ["y"])
    data = layer_file([node], {"w": table}, ("batch", "time"), SHAPE, dtype="int64")
    x = random_inputs(data, load(data).contract)["x"]
    assert (x.min(), x.max()) == (0, 6)


def test_files_of_other_outputs_are_not_compared():
    with pytest.raises(CompareError, match="the files have different inputs") as caught:
        compare(load(recurrent_file("GRU")), scaled(1.0))
    assert "compare a quantised file with the float file" in str(caught.value)


def test_an_input_without_data_is_named():
    with pytest.raises(InputError, match="there is no array for the input 'x', only for z"):
        compare(scaled(1.0), scaled(1.0), {"z": np.ones((1, 3, 4), np.float32)})


def test_a_metric_is_given_both_outputs_and_the_data():
    def metric(reference, candidate, data):
        assert data["extra"] == 3
        return {"drop": float(candidate["y"].mean() - reference["y"].mean()), "more": 5}

    x = {"x": np.ones((1, 4, 4), np.float32)}
    data = {**x, "extra": np.array(3)}
    found = compare(scaled(1.5), scaled(1.0), x, metric=metric, data=data)
    assert found.metric == "metric"
    assert found.drop == pytest.approx(0.5)
    assert found.numbers == {"more": 5.0}


@pytest.mark.parametrize("given", [None, "text", float("nan"), {"loss": 1.0}, {"drop": math.inf}])
def test_a_metric_has_to_give_a_finite_number(given):
    metric = Metric("mine.py:f", lambda *arguments: given)
    with pytest.raises(MetricError, match="the metric gave no finite number") as caught:
        metric({}, {}, {})
    assert 'a dict of numbers with "drop" among them' in str(caught.value)


def test_a_metric_that_fails_says_how_it_is_called():
    metric = Metric("mine.py:f", lambda reference, candidate, data: data["targets"])
    with pytest.raises(MetricError, match="the metric failed: KeyError: 'targets'") as caught:
        metric({"y": np.ones(1)}, {"y": np.ones(1)}, {"x": np.ones(1)})
    assert "outputs y; data x" in str(caught.value)


def test_a_metric_is_named_by_file_or_module_and_function(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def lost(reference, candidate, data):\n    return 0.25\n")
    assert load_metric(f"{file}:lost")({}, {}, {}) == (0.25, {})
    found = load_metric("rnnedge.zoo.char_lm.quality:bits_per_character")
    assert found.name == "rnnedge.zoo.char_lm.quality:bits_per_character"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lost", "'lost' names no function"),
        ("{file}:found", "has no function 'found'"),
        ("{folder}/none.py:lost", "none.py cannot be imported: FileNotFoundError"),
        ("no_such_package:lost", "no_such_package cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_metric_that_cannot_be_had_is_refused(tmp_path, spec, message):
    file = tmp_path / "mine.py"
    file.write_text("def lost(reference, candidate, data):\n    return 0.25\n")
    with pytest.raises(MetricError) as caught:
        load_metric(spec.format(file=file, folder=tmp_path))
    assert message in str(caught.value)


def test_a_budget_is_broken_by_more_than_it_allows_or_by_no_number():
    assert Budget(0.1, 20).broken_by(quality(0.1, 20.0)) == []
    assert Budget(0.1).broken_by(quality(0.2)) == ["drop 0.2, at most 0.1 allowed"]
    assert Budget(0.1).broken_by(quality()) == ["drop none, at most 0.1 allowed"]
    assert Budget(None, 35).broken_by(quality()) == ["30.0 dB, at least 35 dB asked for"]
    assert Budget(None, 35).broken_by(quality(snr_db=math.nan)) != []
    assert Budget().broken_by(quality(9.0, -9.0)) == []


LOSS = {"a": 0.01, "b": 0.5, "c": 0.2, "d": 0.001}


def measured(names):
    return quality(sum(LOSS[name] for name in names))


def test_layers_are_ranked_from_the_worst():
    ranked = rank([(name, "GRU") for name in LOSS], measured)
    assert [one.layer for one in ranked] == ["b", "c", "a", "d"]
    assert ranked[0] == Sensitivity("b", "GRU", 30.0, 0.5)


@pytest.mark.parametrize(
    ("most", "kept"),
    [(0.3, ("b",)), (0.02, ("b", "c")), (0.005, ("b", "c", "a")), (0.0001, None)],
)
def test_the_fewest_of_the_worst_layers_stay_in_float(most, kept):
    ranked = rank([(name, "GRU") for name in LOSS], measured)
    assert keep_within(Budget(most), ranked, measured) == kept


def test_bits_per_character_are_those_of_torch():
    import torch

    from rnnedge.zoo.char_lm.quality import bits_per_character

    random = np.random.default_rng(0)
    ours, theirs = random.standard_normal((2, 3, 8, 11)).astype(np.float32)
    targets = random.integers(0, 11, (3, 8))
    found = bits_per_character({"y": ours}, {"y": theirs}, {"targets": targets})
    expected = [
        torch.nn.functional.cross_entropy(
            torch.from_numpy(logits).double().reshape(-1, 11), torch.from_numpy(targets).reshape(-1)
        ).item()
        / math.log(2)
        for logits in (ours, theirs)
    ]
    assert found["float_bits"] == pytest.approx(expected[0])
    assert found["drop"] == pytest.approx(expected[1] - expected[0])
