"""What a caller may add to the proof, and where a failure is said to be."""

from __future__ import annotations

import judged_models as judged
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnedge
from rnnedge.parity.golden import read_golden
from rnnedge.parity.measure import Ledger, Reference
from rnnedge.parity.options import OptionError
from rnnedge_runtime import Contract, Port


def failed(report):
    return [check.name for check in report.checks if not check.passed]


@pytest.mark.slow
def test_pushes_that_are_asked_for_find_what_others_do_not():
    data, module = judged.wrong_in_some_pushes(), judged.Net()
    assert rnnedge.verify(data, module).passed
    report = rnnedge.verify(data, module, chunks=[judged.PUSHES, (7, 0, 3)])
    assert failed(report) == ["pushes of 20 frames"]
    names = [check.name for check in report.checks]
    assert names[2:5] == ["random chunks", "pushes of 20 frames", "pushes of 7, 0, 3 frames"]
    assert report.settings["chunks"] == [[20], [7, 0, 3]]


@pytest.mark.slow
def test_a_pattern_is_pushed_in_its_order_again_and_again(tmp_path):
    golden = tmp_path / "g.npz"
    rnnedge.verify(judged.right(), judged.Net(), chunks=[(7, 0, 3)], save_golden=golden)
    cases = [case for case in read_golden(golden).cases if case.check.startswith("pushes")]
    assert {case.lengths for case in cases} == {(7, 0, 3, 7, 0, 3, 7, 0, 3, 7)}
    data, module = judged.wrong_in_some_pushes(), judged.Net()
    assert failed(rnnedge.verify(data, module, chunks=[(30, 20)])) == ["pushes of 30, 20 frames"]
    assert rnnedge.verify(data, module, chunks=[(19, 21)]).passed


@pytest.mark.slow
def test_batches_that_are_asked_for_are_tried_beside_the_verifiers_own():
    report = rnnedge.verify(judged.right(), judged.Net(), batches=[2, 13])
    assert report.passed
    assert report.settings["batches"] == [1, 2, 5, 8, 13]


def test_another_yardstick_judges_and_is_told():
    usual = rnnedge.verify(judged.right(), judged.other_weights())
    wide = rnnedge.verify(judged.right(), judged.other_weights(), allowed_ratio=1e4)
    assert (usual.passed, wide.passed) == (False, True)
    assert "as the caller chose" not in str(usual)
    assert "allowed are 10000 times PyTorch's own float32 error, as the caller chose" in str(wide)
    assert (usual.to_dict()["allowed_ratio"], wide.to_dict()["allowed_ratio"]) == (4.0, 1e4)
    for ours, theirs in zip(usual.tensors, wide.tensors, strict=True):
        assert theirs.allowed_abs == pytest.approx(2500 * ours.allowed_abs)


def test_a_failure_names_every_tensor_and_the_first_frame():
    report = rnnedge.verify(judged.without_cell(), judged.Net())
    assert failed(report)[:2] == ["one frame at a time", "random chunks"]
    assert "whole sequence" not in failed(report)
    beyond = report.checks[1].beyond
    assert {place.tensor for place in beyond} == {"output", "rnn.h"}
    output = next(place for place in beyond if place.tensor == "output")
    # The first frame starts from zero in both; what is lost shows in the second.
    assert output.first["time"] == 1
    assert set(output.first) == {"batch", "time", "axis 2"}
    assert output.error > 1000 * output.allowed > 0
    assert "; first at " in report.checks[1].detail
    told = report.to_dict()["checks"]
    assert "beyond" not in told[0]
    assert {place["tensor"] for place in told[1]["beyond"]} == {"output", "rnn.h"}


@given(
    errors=st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=24, max_size=24),
    own=st.sampled_from([0.3, 0.6]),
    begin=st.integers(0, 5),
)
def test_the_place_is_the_earliest_beyond_of_the_channel_that_is_farthest(errors, own, begin):
    ledger = Ledger("y", ("batch", "time", 2), own=np.array([own, own]))
    exact = np.full((2, 6, 2), 100.0)
    got = exact + np.reshape(errors, exact.shape)
    ledger.add(got, Reference(exact, exact), "asked", 2, {1: begin})
    place = ledger.beyond("asked")
    error, allowed = np.abs(got - exact), 4 * own
    if error.max() <= allowed:
        assert place is None
        return
    channel = place.first["axis 2"]
    assert error[..., channel].max() == error.max() == place.error
    rows, frames = np.nonzero(error[..., channel] > allowed)
    assert place.first["time"] == frames.min() + begin
    assert place.first["batch"] == rows[frames == frames.min()].min()
    largest = place.largest
    assert error[largest["batch"], largest["time"] - begin, channel] == error.max()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chunks": [0]}, "0 cannot be asked for"),
        ({"chunks": [(0, 0)]}, "(0, 0) cannot be asked for"),
        ({"chunks": [2.5]}, "2.5 cannot be asked for"),
        ({"chunks": [True]}, "True cannot be asked for"),
        ({"chunks": 7}, "7 cannot be asked for"),
        ({"chunks": "7"}, "'7' cannot be asked for"),
        ({"batches": [0]}, "[0] cannot be asked for"),
        ({"batches": 3}, "3 cannot be asked for"),
        ({"allowed_ratio": 0}, "0 cannot be asked for"),
        ({"allowed_ratio": float("inf")}, "inf cannot be asked for"),
        ({"allowed_ratio": float("nan")}, "nan cannot be asked for"),
        ({"allowed_ratio": "8"}, "'8' cannot be asked for"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(OptionError) as raised:
        rnnedge.verify(judged.right(), judged.Net(), **options)
    assert raised.value.what == said
    assert raised.value.where == next(iter(options))


@pytest.mark.slow
def test_a_file_of_whole_sequences_has_no_pushes():
    with pytest.raises(OptionError, match="whole sequences only, so there are no pushes to try"):
        rnnedge.verify(judged.whole(), judged.Net(), chunks=[4])


def test_a_file_without_a_batch_has_no_batches():
    from rnnedge.parity.options import Options

    x = Port("x", "float32", ("time", 3), None, 0)
    contract = Contract("stream", (x,), (x,))
    Options.of((), [1], None).check_fit(contract)
    with pytest.raises(OptionError, match="no input of the file has a batch axis"):
        Options.of((), [2], None).check_fit(contract)


def test_an_integer_output_with_channels_is_compared():
    """Where no error is allowed in any channel."""
    ledger = Ledger("y", ("batch", "time", 3))
    exact = np.arange(12).reshape(2, 2, 3)
    ledger.add(exact, Reference(exact, exact), "asked", 2)
    assert ledger.error("asked") == (0.0, 0.0, 0.0)
    wrong = exact.copy()
    wrong[1, 0, 2] += 1
    ledger.add(wrong, Reference(exact, exact), "asked", 2)
    assert ledger.error("asked") == (1.0, 0.0, 0.0)
    assert ledger.beyond("asked").first == {"batch": 1, "time": 0, "axis 2": 2}
