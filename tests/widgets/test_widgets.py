"""Widgets without a browser: traits, what they measure, what a reader of a saved notebook gets."""

import gc
import math
import random
import re
import sys
import threading
from types import SimpleNamespace

import numpy as onp
import pytest
from d2lblocks_widgets import compare_initializers, watch
from d2lblocks_widgets._bins import bins, counts
from d2lblocks_widgets._theory import fans, theory
from d2lblocks_widgets.training_monitor import log
from d2lblocks_widgets.training_monitor.log import COLUMNS, ROOM, STRETCHES, Curve, Histograms, column
from traitlets import TraitError

from d2lblocks import autograd, gluon, init, np, rng
from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.gluon import nn
from d2lblocks.graph import Program
from d2lblocks.kernels.program import walk

KEPT = {"table", "caption", "thead", "tbody", "tr", "th", "td", "code", "img", "p", "br"}


def trained(steps=30, **kwargs):
    net = nn.Sequential()
    net.add(nn.Dense(8, activation="relu"), nn.Dense(2))
    net.initialize()
    X, y = np.ones((5, 3)), np.ones((5, 2))
    trainer, loss = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1}), gluon.loss.L2Loss()
    monitor = watch(trainer, loss, **kwargs)
    for _ in range(steps):
        with autograd.record():
            out = loss(net(X), y)
        out.backward()
        trainer.step(5)
    monitor.stop()
    return monitor, trainer


@pytest.mark.parametrize("make", [compare_initializers, lambda: trained()[0]])
def test_every_widget_is_small_stable_and_readable_without_scripts(make):
    before = threading.active_count()
    one = make()
    assert threading.active_count() == before  # nobody watches files
    assert len(one._esm.encode()) <= 30_000 and "../common.js" not in one._esm
    data, _ = one._repr_mimebundle_()
    assert data["text/plain"] == repr(one) and "0x" not in repr(one)
    assert set(re.findall(r"<(\w+)", data["text/html"])) <= KEPT and len(data["text/html"]) <= 20_000
    assert all(re.findall(r'<img alt="([^"]*)"', data["text/html"]))


def test_fallback_is_the_same_every_time():
    assert compare_initializers(seed=4).fallback() == compare_initializers(seed=4).fallback()


def test_no_random_stream_moves():
    rng.seed(5)
    np.random.randint(0, 9, (300,))
    kept = rng.get_state(), onp.random.get_state()[1].tolist(), random.getstate()
    w = compare_initializers("xavier", "normal")
    w.seed = 11
    now = rng.get_state(), onp.random.get_state()[1].tolist(), random.getstate()
    assert str(kept) == str(now)


def test_statistics_agree_with_theory():
    told = compare_initializers("xavier", init.Normal(0.02), "ones", "msraprelu", shape=(400, 300)).statistics
    assert told["xavier"]["theory_std"] == pytest.approx(math.sqrt(2 / 700))
    for facts in told.values():
        assert facts["std"] == pytest.approx(facts["theory_std"], rel=0.02, abs=1e-12)
    assert told["ones"] == {"mean": 1, "std": 0, "min": 1, "max": 1, "theory_std": 0}


def test_variance_by_depth_follows_the_formula():
    # without activations each layer multiplies the variance by width * var(w)
    w = compare_initializers(init.Normal(0.05), "zeros", activation="identity", width=400)
    found = w.variances["Normal(sigma=0.05)"]
    for k in (1, 5, 10):
        assert found[k] == pytest.approx((400 * 0.05**2) ** k, rel=0.3)
    assert w.variances["zeros"][1:] == [0] * 10
    w.activation = "relu"
    assert w.variances["Normal(sigma=0.05)"][10] < 0.02


def test_overflow_and_failing_initializers_are_told():
    class Breaks(init.Initializer):
        def _init_weight(self, name, arr):
            raise RuntimeError("no <b>idea</b>")

    w = compare_initializers(init.Normal(1e9), Breaks(), activation="identity")
    assert w.variances["Normal(sigma=1000000000.0)"][10] is None and w.variances["Breaks()"] == []
    assert w.statistics["Breaks()"] == {"error": "RuntimeError: no <b>idea</b>"}
    assert "overflow" in w.fallback() and "no &lt;b&gt;idea" in w.fallback()


def test_a_subclass_keeps_the_law_only_with_its_draw():
    class Wide(init.Normal):
        def __init__(self):
            super().__init__(2.0)

    class Own(init.Normal):
        def _init_weight(self, name, arr):
            arr[:] = 3

    assert theory(Wide(), (2, 2)) == {"law": "normal", "sigma": 2.0, "std": 2.0} and theory(Own(), (2, 2)) is None
    assert fans((8, 4, 3, 3)) == (36, 72) and fans((5,)) is None


def test_wrong_arguments_say_the_cure():
    for arguments, words in {("xavier",): "2 to 6", ("xavier",) * 7: "2 to 6"}.items():
        with pytest.raises(ArgumentError, match=words):
            compare_initializers(*arguments)
    for options in ({"shape": (0, 2)}, {"shape": (2000, 2000)}, {"activation": "gelu"}, {"depth": 0}):
        with pytest.raises(ArgumentError, match="|".join(options)):
            compare_initializers(**options)
    w = compare_initializers("normal", "normal")
    assert [row["name"] for row in w.results["rows"]] == ["normal", "normal #2"]
    with pytest.raises((TraitError, ArgumentError)):
        w.shape = [-1]
    w.layer = 99
    assert w.layer == 10 and w.shape == [256, 256]


@pytest.mark.parametrize(
    "values", [[], [onp.nan, onp.inf], [3.0], [1, 2, 2], [-1e308, 1e308], [5e-324, 0], [True, False]]
)
def test_bins_of_odd_arrays(values):
    facts = bins(onp.array(values))
    assert counts(facts).sum() == facts["n"] == onp.isfinite(onp.array(values, float)).sum()
    assert all(v is None or onp.isfinite(v) for k, v in facts.items() if k != "fine")


def test_watch_hears_every_step_and_every_loss():
    monitor, trainer = trained(30)
    assert monitor.step == trainer.optimizer.num_update == 30 and not monitor.running
    assert [step for step, _ in monitor.losses()] == list(range(30))
    assert monitor.losses()[0][1] > monitor.losses()[-1][1] > 0
    assert monitor.histograms["steps"][-1] == 30 and "loss" in repr(monitor)
    lo = onp.frombuffer(monitor.histograms["values"]["lo"], "<f4").reshape(4, -1)[:, -1]
    assert lo.tolist() == [onp.float32(p.data().min().item()) for p in trainer._params]


def test_a_short_run_has_a_history_too():
    monitor, _ = trained(30)
    assert {1, 2, 4, 8, 16, 30} <= set(monitor.histograms["steps"])


def calls_of_steps(step, steps):
    """Return how many calls, of Python and of C functions, `steps` steps make."""
    events = []
    gc.collect()
    gc.disable()  # what it finds of other tests calls functions, too
    sys.setprofile(lambda frame, event, arg: events.append(event))
    try:
        for _ in range(steps):
            step()
    finally:
        sys.setprofile(None)
        gc.enable()
    return sum(event == "call" for event in events), sum(event == "c_call" for event in events)


@pytest.mark.parametrize("hybrid", [False, True])
def test_watch_adds_few_calls_to_a_step(hybrid):
    """What a cell is slowed by, without a clock: one function of Python more a step."""
    net, loss = nn.Dense(2, in_units=3), gluon.loss.L2Loss()
    net.initialize()
    net.hybridize(hybrid)
    loss.hybridize(hybrid)
    x, y = np.ones((5, 3)), np.ones((5, 2))
    trainer = gluon.Trainer(net.collect_params(), "sgd")

    def step():
        with autograd.record():
            out = loss(net(x), y)
        out.backward()
        trainer.step(5)

    for _ in range(4):  # till everything is noted that is noted once
        step()
    plain = calls_of_steps(step, 50)
    monitor = watch(trainer, loss)
    step()
    monitor._pulse.due = monitor._pulse.halt = float("inf")  # between two pushes
    watched = calls_of_steps(step, 50)
    assert (watched[0] - plain[0]) / 50 <= 1  # Pulse.lost
    assert (watched[1] - plain[1]) / 50 <= 7  # list, values, two appends, len, the clock
    monitor.stop()
    assert monitor.step == 51 and [at for at, _ in monitor.losses()] == list(range(51))
    for _ in range(4):
        step()
    assert calls_of_steps(step, 50) == plain


def test_every_loss_is_kept_unless_steps_are_very_short(monkeypatch):
    now, trainer = [0.0], SimpleNamespace(steps=0)
    monkeypatch.setattr(log, "perf_counter", lambda: now[0])
    pulse = log.Pulse(lambda: None, lambda: None, trainer)
    pulse.due = pulse.halt = float("inf")

    def kept(count, seconds):
        """Return how many losses of so many steps are kept."""
        before = len(pulse.loss.steps)
        for _ in range(count):
            pulse.lost(None, (), np.ones((1,)))
            trainer.steps += 1
            now[0] += seconds
        return len(pulse.loss.steps) - before

    assert kept(80, 50e-6) == 80
    pulse.pace()
    assert kept(80, 30e-6) == 80
    pulse.pace()
    assert kept(80, 50e-6) == 10
    pulse.pace()
    assert kept(8, 10e-6) == 8
    pulse.pace()  # of so few nothing can be told
    assert kept(80, 50e-6) == 80
    assert pulse.step == 328 and pulse.loss.steps == sorted(set(pulse.loss.steps))


def test_a_monitor_that_was_stopped_counts_no_more():
    net, loss = nn.Dense(1, in_units=1), gluon.loss.L2Loss()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    monitor = watch(trainer, loss)
    for k in range(8):
        if k == 5:
            monitor.stop()
        with autograd.record():
            l = loss(net(np.ones((1, 1))), np.ones((1,)))  # noqa: E741
        l.backward()
        trainer.step(1)
        loss(np.ones((0, 1)), np.ones((0,)))  # an empty batch disturbs nobody
    assert monitor.step == 5 and repr(monitor).startswith("watch: step 5,")


@pytest.mark.skipif(not walk.ready(), reason="programs need machine code")
def test_watch_leaves_a_hybridized_net_and_loss_their_programs():
    net, loss = nn.HybridSequential(), gluon.loss.L2Loss()
    net.add(nn.Dense(4), nn.Dense(2))
    net.initialize()
    net.hybridize()
    loss.hybridize()
    x, y = np.ones((5, 3)), np.ones((5, 2))
    net(x)
    with watch(gluon.Trainer(net.collect_params(), "sgd"), loss) as monitor, autograd.record():
        means = [loss(net(x * k), y).mean().item() for k in range(40)]  # nobody else keeps the losses
    programs = [*net._programs.known.values(), *loss._programs.known.values()]
    assert programs and all(isinstance(program, Program) for program in programs)
    assert onp.frombuffer(monitor.curves["loss"]["rows"], "<f4")[1::4] == pytest.approx(means)


def test_the_last_loss_is_shown_when_a_cell_ends_even_if_it_was_looked_at_before():
    net, loss = nn.Dense(2, in_units=3), gluon.loss.L2Loss()
    net.initialize()
    monitor = watch(gluon.Trainer(net.collect_params(), "sgd"), loss)
    monitor._cell_ended()
    assert monitor.curves == {}
    loss(net(np.ones((5, 3))), np.ones((5, 2)))
    assert f"{monitor.losses()[-1][1]:.4g}" in repr(monitor) and monitor.curves == {}
    monitor._cell_ended()
    assert len(monitor.curves["loss"]["rows"]) == 16
    monitor._push = pytest.fail
    monitor._cell_ended()  # nothing new


def test_a_push_that_fails_is_not_tried_again_at_once(monkeypatch):
    net = nn.Dense(2, in_units=2)
    net.initialize()
    trainer, tries = gluon.Trainer(net.collect_params(), "sgd"), []
    monitor = watch(trainer)
    monkeypatch.setattr(monitor, "hold_sync", lambda: tries.append(1) or {}["comm"])
    monitor._pulse.due = 0.0
    with autograd.record():
        net(np.ones((1, 2))).backward()
    with pytest.warns(UserWarning, match="listener failed"):
        trainer.step(1)
    for _ in range(3):
        trainer.step(1, ignore_stale_grad=True)
    assert len(tries) == 1 and monitor._pulse.step == 4


def test_watch_leaves_gradient_buffers_private():
    _, trainer = trained(3)
    assert all(p.data()._node.free() for p in trainer._params if p.name.endswith("weight"))


def test_watch_stopped_hears_nothing_and_a_second_one_replaces_the_first():
    monitor, trainer = trained(3)
    second, third = watch(trainer), watch(trainer)
    assert not second.running and third.running
    third.stop()
    third.stop()
    trainer.step(5, ignore_stale_grad=True)
    assert (monitor.step, third.step) == (3, 0)


def test_watch_says_what_it_cannot_take():
    net = nn.Dense(2, in_units=2)
    net.initialize()
    for what, loss in ((3, None), (net, 0.5)):
        with pytest.raises(ArrayTypeError, match="watch"):
            watch(what, loss)
    with pytest.raises(ArrayTypeError, match="accuracy"):
        watch(net).record(accuracy="high")
    with pytest.raises(ArgumentError, match="'accuracy'.*nothing yet"):
        watch(net).losses("accuracy")
    assert watch(net, select=".*bias").histograms["names"] == [net.bias.name]


def test_pushes_are_few():
    net = nn.Dense(2, in_units=2)
    net.initialize()
    monitor, pushes = watch(net), []
    monitor.observe(pushes.append, "step")
    for k in range(2000):
        monitor.record(loss=k)
    assert len(pushes) <= 1 + (2000 * 1e-4) / 0.1


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


def test_losses_of_all_shapes_and_many_without_a_step():
    loss, net = gluon.loss.L2Loss(), nn.Dense(2, in_units=2)
    net.initialize()
    monitor = watch(gluon.Trainer(net.collect_params(), "sgd"), loss)
    for raw in (np.ones((3,)), np.ones((2, 2)) * 2, np.array(3.0), np.ones((5000,)) * 4, np.array([5, 5])):
        monitor._pulse.lost(loss, (), raw)
    assert [value for _, value in monitor.losses()] == [1, 2, 3, 4, 5]
    for _ in range(ROOM + 10):
        monitor._pulse.lost(loss, (), np.ones((1,)))
    assert len(monitor._pulse.loss.values) <= ROOM
    with pytest.raises(ArrayTypeError, match="loss"):
        monitor._pulse.lost(loss, (), "high")
    monitor._pulse.loss.steps.append(7)  # Ctrl-C came before its number
    assert monitor.losses()[-1][1] == 1
    monitor._pulse.loss.add(8, 2.0)
    assert monitor.losses()[-1][0] == 8


def test_histograms_over_steps_stay_few_and_end_with_the_newest():
    kept = Histograms(["w"])
    for k in range(1000):
        kept.add(k, [onp.arange(5.0) + k])
    assert len(kept.steps) <= COLUMNS and kept.steps[-1] == 999 and kept.steps == sorted(set(kept.steps))
    assert onp.frombuffer(kept.sent()["lo"], "<f4").tolist() == kept.steps
    assert column(onp.array([onp.nan, 1.0, 3.0]))[:2] == (1.0, 3.0) and column(onp.zeros(4))[2].sum() == 4


def test_figures_for_print():
    figures = pytest.importorskip("d2lblocks_widgets.figures")
    one = figures.plot_initializers("xavier", "zeros", shape=(20, 30))
    two = figures.plot_activations("xavier", "zeros", depth=3, width=16)
    assert one._repr_png_()[:4] == two._repr_png_()[:4] == b"\x89PNG"
    assert "xavier std" in repr(one) and "after 3 layers" in repr(two)
