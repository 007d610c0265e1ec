"""What the training monitor keeps of a run: curves and histograms, of bounded size and of all numbers."""

import numpy as onp
import pytest
from d2lblocks_widgets import watch
from d2lblocks_widgets.training_monitor.log import COLUMNS, STRETCHES, Curve, Histograms, column

from d2lblocks import np
from d2lblocks.gluon import nn


def test_long_curves_keep_mean_and_extremes():
    curve, values = Curve(), onp.random.default_rng(0).standard_normal(10_000)
    for k, v in enumerate(values):
        curve.add(k, v)
        if k % 777 == 0:
            curve.settle()
    rows = curve.rows()
    assert STRETCHES / 2 <= len(rows) <= STRETCHES and rows[-1][0] == 9999 and curve.last == values[-1]
    assert min(r[2] for r in rows) == values.min() and max(r[3] for r in rows) == values.max()
    n = onp.diff([-1, *[r[0] for r in rows]])
    assert onp.average([r[1] for r in rows], weights=n) == pytest.approx(values.mean())


@pytest.mark.parametrize("every", [1, 7, 400, 401, 5000])
def test_a_curve_is_the_same_however_it_is_sorted_in(every):
    values = onp.random.default_rng(1).standard_normal((3000, 4)).astype("f4")
    values[2222, 1] = onp.nan
    curve = Curve()
    for k, v in enumerate(values):
        curve.add(k, v if k % 3 else float(v.mean(dtype=float)))
        if k % every == 0:
            curve.settle()
    rows, means = onp.array(curve.rows()), values.mean(1, dtype=float)
    length = int(rows[1, 0] - rows[0, 0])
    parts = [means[k : k + length] for k in range(0, 3000, length)]
    assert curve.first_bad == 2222 and curve.last == pytest.approx(means[-1]) and len(rows) == len(parts)
    assert rows[:, 0].tolist() == [min(k + length, 3000) - 1 for k in range(0, 3000, length)]
    assert rows[:, 1] == pytest.approx([part.mean() for part in parts], nan_ok=True)
    good = [part[~onp.isnan(part)] for part in parts]
    assert rows[:, 2:] == pytest.approx(onp.array([[part.min(), part.max()] for part in good]))


def test_histograms_over_steps_stay_few_and_end_with_the_newest():
    kept = Histograms(["w"])
    for k in range(1000):
        kept.add(k, [onp.arange(5.0) + k])
    assert len(kept.steps) <= COLUMNS and kept.steps[-1] == 999 and kept.steps == sorted(set(kept.steps))
    assert onp.frombuffer(kept.sent()["lo"], "<f8").tolist() == kept.steps
    assert column(onp.array([onp.nan, 1.0, 3.0]))[:2] == (1.0, 3.0) and column(onp.zeros(4))[2].sum() == 4


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("size", ["least", "largest"])
def test_histograms_of_the_least_and_the_largest_numbers(kind, size):
    limits = onp.finfo(kind)
    x = onp.linspace(-1, 1, 48).astype(kind) * (limits.max if size == "largest" else limits.smallest_subnormal * 48)
    lo, hi, found, bad = column(x)
    assert (lo, hi, bad, found.sum()) == (float(x[0]), float(x[-1]), 0, 48) and found.max() <= 4


def test_histograms_of_large_arrays_follow_no_pattern():
    x = onp.zeros((1024, 512), "f4")
    x[::2] = 1  # every second number of a column-major weight, too
    for raw in (x, x.T):
        found = column(raw)[2]
        assert found[0] == pytest.approx(found[-1], rel=0.05)
    x[0, :3] = onp.nan, onp.inf, 1e9
    assert column(x)[1] == 1e9 and column(x)[3] == 2
    assert column(onp.full(5, onp.nan))[3] == 5


def test_a_curve_tells_its_first_and_last_number_and_what_is_not_finite():
    curve = Curve()
    for k in range(100_000):
        curve.add(k, 10.0 if k == 0 else 5.0 if k > 99_990 else 0.1)
    sent = curve.sent()
    assert sent["first"] == [0, 10.0] and sent["last"] == 5.0 and sent["bad"] == ""
    curve.add(100_000, float("inf"))
    curve.add(100_001, float("nan"))
    assert curve.sent()["last"] == "nan" and curve.bad() == "not finite from step 100,000 on"
    curve.add(100_002, 1e40)
    assert curve.sent()["last"] == 1e40 and curve.bad() == "2 not finite, the first at step 100,000"
    curve = Curve()
    curve.add(1, 1e40)
    assert onp.frombuffer(curve.sent()["rows"], "<f8").tolist() == [1, 1e40, 1e40, 1e40]


def test_means_of_narrow_numbers_do_not_overflow():
    net = nn.Dense(1, in_units=1)
    monitor = watch(net)
    monitor.record(loss=np.ones((1000,), dtype="float16") * 100)
    assert monitor.losses()[0][1] == 100


def test_what_is_not_finite_is_told_however_often_the_speed_is_measured():
    curve = Curve()
    for k in range(100):
        curve.count += 1
        curve.add(k, 1.0 if k < 60 else float("nan"))
        if k % 20 == 0:
            curve.looked(float(k))
            curve.settle()
    assert curve.bad() == "not finite from step 60 on"
