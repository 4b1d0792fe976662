"""What `rnnedge bench` says of times: percentiles, turns, cadence, budgets, what bounds a call."""

from __future__ import annotations

import gc
import math
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnedge.benchmark.budgets import Budget, judge
from rnnedge.benchmark.diagnosis import diagnose, fixed_share
from rnnedge.benchmark.pace import Paced, pace
from rnnedge.benchmark.roofline import NOTHING, READING, Limit, Reading
from rnnedge.benchmark.sweeps import Point, batch_sizes, chunk_sizes, sweep
from rnnedge.benchmark.timings import PERCENTS, Timings, joined
from rnnedge.benchmark.trials import take_turns
from rnnedge_runtime import Contract, Port


def timings(*us: float, blocks: tuple[int, ...] = ()) -> Timings:
    return Timings(np.array([round(value * 1e3) for value in us], np.int64), blocks)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300))
def test_a_percentile_is_the_shortest_time_that_so_many_calls_kept(ns) -> None:
    found = joined([ns])
    for percent in PERCENTS:
        # Counted in the sorted list: the k-th of n, k the smallest with k / n >= percent.
        rank = math.ceil(percent * len(ns) / 100 - 1e-9)
        assert found.percentile_us(percent) == sorted(ns)[max(rank, 1) - 1] / 1e3
    assert found.p50_us <= found.percentile_us(90) <= found.p99_us <= found.worst_us
    assert found.to_dict()["calls"] == len(ns)


def test_jitter_is_the_mean_step_from_call_to_call() -> None:
    assert timings(10, 14, 12, 12).jitter_us == pytest.approx((4 + 2 + 0) / 3)
    assert timings(10).jitter_us == 0


def test_drift_compares_the_parts_of_a_run() -> None:
    steady = joined([[100_000] * 4] * 10)
    slower = joined([[100_000] * 4] * 8 + [[300_000] * 4] * 2)
    assert (steady.drift, slower.drift) == (1, 3)
    assert joined([[1000], [9000]]).drift == 1  # too few turns to tell


def test_no_times_are_an_error() -> None:
    with pytest.raises(ValueError, match="no call was timed"):
        joined([])


def test_runners_take_turns_and_the_collector_is_off_meanwhile() -> None:
    order: list[str] = []
    collecting: set[bool] = set()

    def runner(name: str):
        def step() -> None:
            order.append(name)
            collecting.add(gc.isenabled())
            time.sleep(0.001)

        return step

    assert gc.isenabled()
    found = take_turns({"a": runner("a"), "b": runner("b")}, seconds=0.2)
    assert gc.isenabled()
    assert collecting == {False}
    turns = [name for index, name in enumerate(order) if index == 0 or order[index - 1] != name]
    assert turns.count("a") >= 3
    assert abs(turns.count("a") - turns.count("b")) <= 1
    assert {name: len(t.blocks) for name, t in found.items()}["a"] >= 3
    assert all(sum(t.blocks) == t.calls for t in found.values())


def test_so_many_calls_are_timed_and_no_more() -> None:
    found = take_turns({"a": lambda: None, "b": lambda: time.sleep(0.001)}, seconds=5, most_calls=7)
    assert {name: t.calls for name, t in found.items()} == {"a": 7, "b": 7}


def test_a_step_that_is_slower_than_the_signal_misses_every_deadline() -> None:
    paced = pace(lambda: time.sleep(0.004), period_ms=1, seconds=0.01)
    assert paced.misses == paced.timings.calls == 10
    # Deadlines are absolute, so that it falls behind further and further.
    assert paced.worst_call == 9
    assert paced.to_dict()["response_worst_us"] > 25_000


def test_a_paced_call_begins_when_it_is_due_and_not_before() -> None:
    begins: list[float] = []
    paced = pace(lambda: begins.append(time.perf_counter()), period_ms=5, seconds=0.05)
    assert len(begins) == 11  # one before the first that is timed
    assert (paced.late_ns >= 0).all()
    assert begins[-1] - begins[1] >= 9 * 0.005 - paced.late_ns[0] / 1e9


def test_few_calls_are_made_of_a_slow_signal() -> None:
    assert pace(lambda: None, period_ms=20, seconds=0.001).timings.calls == 3
    assert pace(lambda: None, period_ms=1, seconds=1, most_calls=2).timings.calls == 2


def paced(*us: float) -> Paced:
    return Paced(timings(*us), np.zeros(len(us), np.int64), period_ms=1, cpu_s=0.001)


def test_processor_time_is_told_per_second_of_signal() -> None:
    # 1 ms of processor time for 4 ms of signal.
    assert paced(1, 1, 1, 1).cpu_ms_per_signal_s == pytest.approx(250)


def test_budgets_are_judged_by_the_slower_kind_of_calls() -> None:
    quick, slow = timings(10, 10), paced(40, 40)
    given_ = {"signal_us": 100, "max_p99_ms": 0.02, "max_rtf": 0.5}
    p99, rtf = judge(quick, slow, **given_)
    assert (p99.passed, p99.measured, p99.of) == (False, 0.04, "paced calls")
    assert str(p99) == "p99 0.04 ms of paced calls, allowed 0.02 ms: 2 times as much"
    assert (rtf.passed, rtf.measured) == (True, 0.4)
    assert str(rtf) == "real-time factor 0.4 of paced calls, allowed 0.5"
    alone, _ = judge(quick, None, **given_)
    assert (alone.passed, alone.of) == (True, "calls back to back")
    assert judge(quick, slow, signal_us=None, max_p99_ms=None, max_rtf=None) == ()
    assert Budget("max_rtf", 0.5, 0.5, "paced calls").passed


def points(fixed_us: float, each_us: float) -> list[Point]:
    return [Point(n, 1, timings(fixed_us + each_us * n)) for n in (1, 2, 4, 8)]


def kinds(timed: Timings, *, limit_us: float | None, chunks, control: Timings | None = None):
    limit = None if limit_us is None else Limit(1e6 * limit_us, 1e12)
    found = diagnose(timed, limit=limit, chunks=chunks, paced=None, control=control)
    return [finding.kind for finding in found]


@given(st.floats(0, 1000), st.floats(1, 1000))
def test_what_a_call_costs_before_its_first_frame_is_found_from_the_sweep(fixed, each) -> None:
    assert fixed_share(points(fixed, each)) == pytest.approx(fixed / (fixed + each), abs=5e-3)
    assert fixed_share(points(fixed, each)[:1]) is None


def test_the_largest_part_of_a_call_names_what_bounds_it() -> None:
    call = timings(100)
    assert kinds(call, limit_us=70, chunks=points(80, 20)) == ["memory-bound"]
    assert kinds(call, limit_us=10, chunks=points(80, 20)) == ["overhead-bound"]
    assert kinds(call, limit_us=10, chunks=points(20, 80)) == ["compute-bound"]
    assert kinds(call, limit_us=None, chunks=points(20, 80)) == ["compute-bound"]
    # Without a sweep only what is sure is said.
    assert kinds(call, limit_us=60, chunks=[]) == ["memory-bound"]
    assert kinds(call, limit_us=40, chunks=[]) == []


def test_the_way_out_names_the_best_chunk_and_its_price() -> None:
    limit = Limit(1, 1e12)
    (found,) = diagnose(timings(100), limit=limit, chunks=points(80, 20), paced=None, control=None)
    assert "8 frames per call, 30 µs each instead of 100, at the price of 7 frames" in found.text


def test_noise_is_told_and_whether_the_machine_is_to_blame() -> None:
    noisy, steady = timings(*[10] * 8, 30, 30), timings(*[10] * 10)
    assert kinds(steady, limit_us=None, chunks=[]) == []
    for control, word in ((steady, "was steady"), (noisy, "swayed, too")):
        (found,) = diagnose(noisy, limit=None, chunks=[], paced=None, control=control)
        assert (found.kind, "p90 is 3.00 times" in found.text) == ("noisy-machine", True)
        assert word in found.text


def test_slower_paced_calls_are_told() -> None:
    (found,) = diagnose(timings(10), limit=None, chunks=[], paced=paced(20), control=None)
    assert (found.kind, "2.00 times as long" in found.text) == ("slower-when-paced", True)
    assert diagnose(timings(10), limit=None, chunks=[], paced=paced(11), control=None) == ()


@pytest.mark.parametrize("weight_bytes", [100, 40_000, 3_000_000])
def test_the_limit_is_the_bytes_by_the_rate_at_which_they_are_read(weight_bytes) -> None:
    reading = Reading(weight_bytes)
    for step in reading.steps.values():
        _, y = step()
        assert np.isfinite(y).all()
    # 1 ms for what is read in a call, beside what the same nodes take without weights.
    limit = reading.limit({READING: timings(1500), NOTHING: timings(500)})
    assert limit.limit_us == pytest.approx(weight_bytes / limit.bytes_per_s * 1e6)
    read = limit.bytes_per_s * 1e-3
    side = round((weight_bytes / 4) ** 0.5)
    assert read / (4 * side * side) == pytest.approx(round(read / (4 * side * side)))


def contract(multiple: int = 1, most: int | None = None, batch_axis: int | None = 0) -> Contract:
    shape = ("batch" if batch_axis == 0 else 1, "time", 3)
    port = Port("x", "float32", shape, batch_axis, 1)
    out = Port("y", "float32", shape, batch_axis, 1)
    return Contract("stream", (port,), (out,), chunk_multiple=multiple, chunk_most=most)


def test_a_sweep_is_over_whole_runs_that_the_model_takes() -> None:
    assert chunk_sizes(contract(), 1) == (1, 2, 4, 8, 16)
    assert chunk_sizes(contract(4), 8) == (4, 8, 16, 32, 64, 128)
    assert chunk_sizes(contract(most=1), 1) == (1,)
    assert batch_sizes(contract(batch_axis=None)) == (1,)


def test_what_would_take_too_long_is_left_out_of_a_sweep() -> None:
    made = Counter()

    def make(frames: int, batch: int):
        made[frames, batch] += 1
        return lambda: None

    sizes = [(1, 1), (2, 1), (1000, 1)]
    usual = {"usual_us": lambda frames, batch: frames * 100.0}
    found = sweep(sizes, make, **usual, seconds=0.01, most_calls=3)
    assert [(point.frames, point.batch) for point in found] == [(1, 1), (2, 1)]
    assert set(made) == {(1, 1), (2, 1)}
