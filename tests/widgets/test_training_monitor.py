"""The training monitor without a browser: what it hears, keeps and sends, and that nobody is slowed by it."""

import copy
import gc
import pickle
import sys
from types import SimpleNamespace

import numpy as onp
import pytest
from d2lblocks_widgets import watch
from d2lblocks_widgets.training_monitor import log
from d2lblocks_widgets.training_monitor.log import COLUMNS, ROOM, STRETCHES, Curve, Histograms, column

from d2lblocks import autograd, gluon, np
from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.gluon import nn
from d2lblocks.graph import Program
from d2lblocks.kernels.program import walk


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
    pulse = log.Pulse(int, int, dict, trainer)
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


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
@pytest.mark.parametrize("with_trainer", [False, True])
def test_a_copy_of_what_is_watched_is_not_watched(copied, with_trainer):
    net, loss = nn.Dense(2, in_units=2), gluon.loss.L2Loss()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    monitor = watch(trainer if with_trainer else net, loss)
    x = np.ones((3, 2))
    copied(loss)(net(x), x)
    copied((net, trainer))
    assert monitor._drawn() == {}
    loss(net(x), x)
    assert len(monitor.losses()) == 1


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
    for select in (3, "("):
        with pytest.raises(ArgumentError, match="watch: .* is no regular expression"):
            watch(net, select=select)
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
