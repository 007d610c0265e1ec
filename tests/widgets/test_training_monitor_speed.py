"""What the training monitor costs a step, and what it leaves out of steps that are too short for it."""

import gc
import sys

import numpy as onp
import pytest
from d2lblocks_widgets import watch
from d2lblocks_widgets.training_monitor import log
from d2lblocks_widgets.training_monitor.log import ROOM

from d2lblocks import autograd, gluon, np
from d2lblocks.gluon import nn


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
@pytest.mark.parametrize("by", ["trainer", "net", "steps", "hand"])
def test_watch_adds_few_calls_to_a_step(by, hybrid):
    """What a cell is slowed by, without a clock: one function of Python more a step, and no other where steps are short."""
    net, loss = nn.Dense(2, in_units=3), gluon.loss.L2Loss()
    net.initialize()
    net.hybridize(hybrid)
    loss.hybridize(hybrid)
    x, y = np.ones((5, 3)), np.ones((5, 2))
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    monitor = None

    def step():
        with autograd.record():
            out = loss(net(x), y)
        out.backward()
        trainer.step(5)
        if by == "hand" and monitor is not None:
            monitor.record(loss=out)

    for _ in range(4):  # till everything is noted that is noted once
        step()
    plain = min(calls_of_steps(step, 50) for _ in range(2))  # once something else may come to its end
    monitor = {
        "trainer": lambda: watch(trainer, loss), "net": lambda: watch(net, loss), "steps": lambda: watch(trainer),
        "hand": lambda: watch(net),
    }[by]()  # fmt: skip
    step()
    pulse = monitor._pulse
    pulse.due = pulse.halt = float("inf")  # between two pushes
    if by in ("trainer", "net"):
        watched = calls_of_steps(step, 50)
        assert (watched[0] - plain[0]) / 50 <= 2  # Pulse.lost and looked
        assert (watched[1] - plain[1]) / 50 <= 7  # a copy, two appends, len, the clock three times
    pulse.next = pulse.loss.next = 10**6
    pulse.by = pulse.loss.by = float("inf")
    watched = calls_of_steps(step, 50)
    assert (watched[0] - plain[0]) / 50 <= (2 if by == "steps" else 1)  # tell_step and Pulse.stepped
    assert (watched[1] - plain[1]) / 50 <= 1  # the clock
    monitor.stop()
    assert monitor.step == (101 if by in ("trainer", "net") else 51)
    monitor = None
    for _ in range(4):
        step()
    assert calls_of_steps(step, 50) == plain


@pytest.mark.parametrize("by", ["trainer", "net", "hand"])
def test_every_loss_is_kept_unless_steps_are_very_short(by, monkeypatch):
    now, trainer = [0.0], gluon.Trainer(nn.Dense(1).collect_params(), "sgd")
    for module in (log, sys.modules[watch.__module__]):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    monitor = watch(trainer if by == "trainer" else nn.Dense(1), every=1e9)
    pulse = monitor._pulse
    pulse.due = pulse.halt = float("inf")

    def kept(count, seconds):
        """Return how many losses of so many steps are kept."""
        before = len(pulse.loss.steps)
        for _ in range(count):
            now[0] += seconds
            if by == "hand":
                monitor.record(loss=1.0)
            else:
                with autograd.record():
                    pulse.lost(None, (), np.ones((1,)))
            trainer.steps += 1
        return len(pulse.loss.steps) - before

    assert kept(80, 90e-6) == 80
    assert kept(4016, 30e-6) == 4016  # the begin is kept whole
    assert kept(64, 30e-6) <= 64
    assert kept(320, 30e-6) == 10
    assert 5 <= kept(12, 1.0) < 12 and kept(5, 1.0) == 5  # slow ones are soon seen each
    assert kept(6400, 30e-6) <= 128 + 200
    now[0] += 60
    monitor._cell_starts()
    assert kept(12, 1.0) == 12  # of a new cell each is looked at
    kept(640, 30e-6)
    assert kept(200, 100e-6) < 200 and kept(100, 100e-6) == 100
    assert pulse.step == 11_849 and pulse.loss.steps == sorted(set(pulse.loss.steps))


def test_what_is_recorded_now_and_then_is_always_kept(monkeypatch):
    now = [0.0]
    for module in (log, sys.modules[watch.__module__]):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    monitor = watch(nn.Dense(1), every=1e9)
    monitor._pulse.due = float("inf")
    for k in range(20_000):
        now[0] += 30e-6
        if k % 1000:
            monitor.record(loss=1.0)
        else:
            monitor.record(loss=1.0, accuracy=k / 1000)
    assert [value for _, value in monitor.losses("accuracy")] == list(range(20)) and monitor._pulse.step == 20_000
    assert [step for step, _ in monitor.losses("accuracy")] == list(range(1, 20_000, 1000))
    assert len(monitor._pulse.loss.steps) < 9000


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told."""
    now = [0.0]
    for module in (log, sys.modules[watch.__module__]):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize("period", [2, 3, 7, 16, 31, 32, 33, 64, 100, 128])
def test_what_is_kept_is_never_in_step_with_the_batches_of_an_epoch(period, clock):
    monitor = watch(nn.Dense(1), every=1e9)
    values = onp.random.default_rng(period).standard_normal(period)
    for k in range(60_000):
        clock[0] += 30e-6
        monitor.record(loss=float(values[k % period]))
    kept = monitor._pulse.loss
    assert kept.thinned and len(kept.values) <= ROOM
    seen = onp.array(kept.values[-1000:])
    assert len(set(seen)) == period
    assert seen.mean() == pytest.approx(values.mean(), abs=3 * values.std() / 1000**0.5)


def test_losses_that_are_passed_by_are_not_said_to_be_finite(clock):
    monitor = watch(nn.Dense(1), every=1e9)
    for k in range(20_000):
        clock[0] += 30e-6
        monitor.record(loss=float("nan") if 10_000 < k < 10_100 else 1.0)
    monitor._push()
    assert "of those looked at not finite, the first at step 10," in monitor.curves["loss"]["bad"]


def test_a_curve_that_becomes_slow_is_kept_whole_though_others_push(clock):
    monitor = watch(nn.Dense(1))
    for _ in range(20_000):
        clock[0] += 30e-6
        monitor.record(loss=0.0)
    kept = 0
    for _ in range(100):
        clock[0] += 0.05
        seen = len(monitor._pulse.loss.steps)
        monitor.record(loss=1.0, accuracy=0.5)
        kept += len(monitor._pulse.loss.steps) != seen
    assert kept >= 90


def test_the_rate_of_slow_steps_and_of_cells_of_one_step(clock):
    monitor = watch(nn.Dense(1))
    for _ in range(20):
        clock[0] += 0.5
        monitor.record(loss=1.0)
    assert monitor.rate == 2
    for _ in range(5):
        clock[0] += 10
        monitor._cell_starts()
        clock[0] += 0.001
        monitor.record(loss=1.0)
        monitor._cell_ended()
    assert monitor.rate == 2
    for _ in range(4000):
        clock[0] += 0.001
        monitor.record(loss=1.0)
    assert monitor.rate == pytest.approx(1000, rel=0.02)
    for _ in range(20):
        clock[0] += 0.5
        monitor.record(loss=1.0)
    assert monitor.rate == pytest.approx(2, rel=0.3)


def test_pushes_are_few():
    net = nn.Dense(2, in_units=2)
    net.initialize()
    monitor, pushes = watch(net), []
    monitor.observe(pushes.append, "step")
    for k in range(2000):
        monitor.record(loss=k)
    assert len(pushes) <= 1 + (2000 * 1e-4) / 0.1


def test_the_rate_is_that_of_the_steps_not_of_the_rest_before_them(monkeypatch):
    now = [0.0]
    for module in (log, sys.modules[watch.__module__]):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    net = nn.Dense(1, in_units=1)
    net.initialize()
    monitor = watch(net)
    now[0] = 60.0
    for _ in range(1000):
        now[0] += 0.01
        monitor.record(loss=1.0)
    monitor._cell_ended()
    assert monitor.rate == pytest.approx(100, rel=0.02) and monitor.paused
    now[0] += 60.0
    monitor._cell_ended()
    assert monitor.rate == pytest.approx(100, rel=0.02) and monitor.paused
    monitor.record(loss=1.0)
    monitor._push()
    assert not monitor.paused


@pytest.mark.parametrize("took, wait", [(0.0, 0.2), (0.0004, 0.2), (0.001, 0.4), (0.004, 1.6), (0.02, 2.0), (0.1, 5.0)])
def test_a_push_that_took_long_is_followed_by_a_rest(took, wait, monkeypatch):
    """A quarter of a percent of a run, up to 2 % where people would wait for more than two seconds."""
    now = [0.0]
    monkeypatch.setattr(sys.modules[watch.__module__], "perf_counter", lambda: now[0])
    monitor = watch(nn.Dense(1))
    monkeypatch.setattr(monitor, "_look", lambda: now.__setitem__(0, now[0] + took))
    monitor._push()
    assert monitor._pulse.due - now[0] == pytest.approx(wait)
