"""Files whose runs take few frames at most: a push of any length is run in parts."""

from dataclasses import replace

import numpy as np
import pytest
from aligned_models import ALL
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnedge_runtime import InputError, load

RUNS = (1, 3)


@pytest.fixture(scope="module")
def models():
    return {
        (aligned.name, runs): load(
            replace(
                aligned,
                contract=replace(
                    aligned.contract, chunk_most=runs * aligned.contract.chunk_multiple
                ),
            ).file()
        )
        for aligned in ALL
        for runs in RUNS
    }


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    aligned=st.sampled_from(ALL),
    runs=st.sampled_from(RUNS),
    batch=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(lambda cuts: sum(cuts) >= 3),
)
def test_any_chunking_and_a_flush_are_the_whole_sequence(models, aligned, runs, batch, cuts):
    model = models[aligned.name, runs]
    x = aligned.signal(batch, sum(cuts))
    stream, delay = model.stream(batch), model.contract.outputs[0].delay
    parts = [stream.push(part) for part in np.split(x, np.cumsum(cuts)[:-1], axis=2)]
    y = np.concatenate([*parts, stream.flush()], axis=2)[:, :, delay:]
    np.testing.assert_allclose(y, aligned.whole(x), rtol=1e-5, atol=1e-5)
    whole = model.run(x).outputs["output"]
    np.testing.assert_allclose(whole, aligned.whole(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("aligned", ALL, ids=lambda aligned: aligned.name)
def test_a_push_with_nan_in_a_later_part_changes_nothing(models, aligned):
    model = models[aligned.name, 1]
    stream, x = model.stream(2), aligned.signal(2, 24)
    stream.push(x[:, :, :12])
    before = stream.snapshot()
    bad = x[:, :, 12:].copy()
    bad[1, 0, -1] = np.nan
    with pytest.raises(InputError, match="row 1, frame 11"):
        stream.push(bad)
    assert stream.snapshot() == before


@pytest.mark.parametrize("aligned", ALL, ids=lambda aligned: aligned.name)
def test_rows_with_nan_start_again_before_the_whole_push(models, aligned):
    x = aligned.signal(2, 24)
    bad = x[:, :, 12:].copy()
    bad[1, 0, -1] = np.nan
    got = []
    for runs in RUNS:
        stream = models[aligned.name, runs].stream(2, on_nonfinite="reset")
        stream.push(x[:, :, :12])
        got.append(np.concatenate([stream.push(bad), stream.flush()], axis=2))
    plain = load(aligned.file()).stream(2, on_nonfinite="reset")
    plain.push(x[:, :, :12])
    expected = np.concatenate([plain.push(bad), plain.flush()], axis=2)
    for y in got:
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
