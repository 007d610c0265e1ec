"""The training monitor without a browser: what it hears, keeps and sends, and that nobody is slowed by it."""

import copy
import gc
import pickle
import weakref

import numpy as onp
import pytest
from d2lblocks_widgets import watch
from d2lblocks_widgets.training_monitor.log import ROOM

from d2lblocks import autograd, gluon, np
from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.gluon import nn
from d2lblocks.graph import Program
from tests.gluon.twins import needs_programs


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
    lo = onp.frombuffer(monitor.histograms["values"]["lo"], "<f8").reshape(4, -1)[:, -1]
    assert lo.tolist() == [p.data().min().item() for p in trainer._params]


def test_a_short_run_has_a_history_too():
    monitor, _ = trained(30)
    assert {1, 2, 4, 8, 16, 30} <= set(monitor.histograms["steps"])


def test_the_step_whose_histogram_is_shown_stays_when_others_go():
    monitor = watch(nn.Dense(1, in_units=1))
    for _ in range(50):
        monitor.record(loss=1.0)
        monitor._push()
    monitor.column = 10
    step = monitor.histograms["steps"][10]
    for _ in range(200):
        monitor.record(loss=1.0)
        monitor._push()
    assert abs(monitor.histograms["steps"][monitor.column] - step) <= 2


def test_a_run_that_goes_astray_is_quiet(recwarn):
    net, loss = nn.Dense(2, in_units=2), gluon.loss.L2Loss()
    net.initialize()
    net.cast("float16")
    monitor = watch(gluon.Trainer(net.collect_params(), "sgd"), loss)
    net.weight.set_data(np.full((2, 2), 300, dtype="float16"))
    assert "std\u00a00" in monitor.fallback()
    for value in (onp.inf, -onp.inf, onp.nan, 1e308):
        net.weight.set_data(np.full((2, 2), value if value != 1e308 else 6e4, dtype="float16"))
        monitor.record(loss=float(value), many=onp.full(5, value))
        monitor._push()
        monitor.fallback()
    assert not recwarn.list


def test_a_parameter_without_a_gradient_has_none():
    net = nn.Dense(2, in_units=2)
    net.initialize()
    monitor = watch(net)
    monitor.record(loss=1.0)
    assert "none</td>" in monitor.fallback() and onp.isnan(onp.frombuffer(monitor.histograms["gradients"]["lo"])).all()


def test_an_array_may_be_written_into_after_it_was_recorded():
    loss = gluon.loss.L2Loss()
    by_hand, heard = watch(nn.Dense(1)), watch(gluon.Trainer(nn.Dense(1).collect_params(), "sgd"), loss)
    total = np.zeros((3,))
    for _ in range(3):
        total += 1
        by_hand.record(total=total)
        with autograd.record():
            found = loss(np.ones((2, 1)), np.zeros((2, 1)))
        found[:] = 9
    assert [value for _, value in by_hand.losses("total")] == [1, 2, 3]
    assert [value for _, value in heard.losses()] == [0.5] * 3


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
        with autograd.record():
            loss(np.ones((0, 1)), np.ones((0,)))  # an empty batch disturbs nobody
    assert monitor.step == 5 and repr(monitor).startswith("watch: step 5,")


@needs_programs
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
    assert onp.frombuffer(monitor.curves["loss"]["rows"], "<f8")[1::4] == pytest.approx(means)


def test_the_last_loss_is_shown_when_a_cell_ends_even_if_it_was_looked_at_before():
    net, loss = nn.Dense(2, in_units=3), gluon.loss.L2Loss()
    net.initialize()
    monitor = watch(gluon.Trainer(net.collect_params(), "sgd"), loss)
    monitor._cell_ended()
    assert monitor.curves == {}
    with autograd.record():
        loss(net(np.ones((5, 3))), np.ones((5, 2)))
    assert f"{monitor.losses()[-1][1]:.4g}" in repr(monitor) and monitor.curves == {}
    monitor._cell_ended()
    assert len(monitor.curves["loss"]["rows"]) == 32
    monitor._push = pytest.fail
    monitor._cell_ended()  # nothing new
    del monitor._push


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
    with autograd.record():
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
    for value in ("high", 10**400, [[1], [2, 3]], []):
        with pytest.raises(ArrayTypeError, match="accuracy"):
            watch(net).record(accuracy=value)
    with pytest.raises(ArgumentError, match="'accuracy'.*nothing yet"):
        watch(net).losses("accuracy")
    for select in (3, "("):
        with pytest.raises(ArgumentError, match="watch: .* is no regular expression"):
            watch(net, select=select)
    with pytest.raises(ArgumentError, match="no parameter matches 'nothing'; there are 'dense"):
        watch(net, select="nothing")
    assert watch(net, select=".*bias").histograms["names"] == [net.bias.name]


def test_losses_of_all_shapes_and_many_without_a_step():
    loss, net = gluon.loss.L2Loss(), nn.Dense(2, in_units=2)
    net.initialize()
    monitor = watch(gluon.Trainer(net.collect_params(), "sgd"), loss)

    def hear(raw):
        monitor._pulse.next = 0  # however fast they come
        with autograd.record():
            monitor._pulse.lost(loss, (), raw)

    for raw in (np.ones((3,)), np.ones((2, 2)) * 2, np.array(3.0), np.ones((5000,)) * 4, np.array([5, 5])):
        hear(raw)
    assert [value for _, value in monitor.losses()] == [1, 2, 3, 4, 5]
    for _ in range(ROOM + 10):
        hear(np.ones((1,)))
    assert len(monitor._pulse.loss.values) <= ROOM
    with pytest.raises(ArrayTypeError, match="loss"):
        hear("high")
    monitor._pulse.loss.steps.append(7)  # Ctrl-C came before its number
    assert monitor.losses()[-1][1] == 1
    monitor._pulse.loss.add(8, 2.0)
    assert monitor.losses()[-1][0] == 8


def test_losses_of_a_validation_are_no_losses_of_the_training():
    for what in ("trainer", "net"):
        net, loss = nn.Dense(1, in_units=1), gluon.loss.L2Loss()
        net.initialize()
        trainer = gluon.Trainer(net.collect_params(), "sgd")
        monitor = watch(trainer if what == "trainer" else net, loss)
        for _ in range(3):
            with autograd.record():
                l = loss(net(np.ones((1, 1))), np.ones((1,)))  # noqa: E741
            l.backward()
            trainer.step(1)
            loss(np.ones((1, 1)) * 100, np.ones((1,)))
        assert len(monitor.losses()) == 3 and max(value for _, value in monitor.losses()) < 10


def test_one_loss_for_two_runs_is_warned_of():
    loss, trainers = gluon.loss.L2Loss(), []
    for _ in range(2):
        net = nn.Dense(1, in_units=1)
        net.initialize()
        trainers.append(gluon.Trainer(net.collect_params(), "sgd"))
    watch(trainers[0], loss)
    watch(trainers[0], loss)  # a cell is run again
    with pytest.warns(UserWarning, match="watched for another run too"):
        last = watch(trainers[1], loss)
    last.stop()
    watch(trainers[0], loss)


def test_a_closed_monitor_watches_no_more():
    net, loss = nn.Dense(1, in_units=1), gluon.loss.L2Loss()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    monitor = watch(trainer, loss)
    monitor.close()
    with autograd.record():
        loss(net(np.ones((1, 1))), np.ones((1,))).backward()
    trainer.step(1)
    monitor._cell_ended()
    monitor.stop()
    watch(trainer, loss)
    monitor.close()


def test_a_stopped_monitor_shows_what_was_and_keeps_no_parameter():
    monitor, trainer = trained(5)
    weight = trainer._params[0].data()
    html, gone = monitor.fallback(), weakref.ref(trainer._params[0])
    weight[:] = 1e9
    assert monitor.fallback() == html and "5 steps" in html and html.count("<tr>") == 5
    del trainer, weight
    gc.collect()
    assert gone() is None and monitor.fallback() == html


def test_many_curves_leave_the_saved_notebook_small():
    monitor = watch(nn.Dense(1, in_units=1))
    for k in range(400):
        monitor.record(**{f"curve {'long ' * 20}{i}": float(k) for i in range(60)})
    assert len(monitor.fallback().encode()) < 20_000 and "and 56 more curves" in monitor.fallback()


def test_why_there_is_no_gradient():
    net = nn.Sequential()
    net.add(nn.Dense(4, activation="relu", in_units=3), nn.BatchNorm(in_channels=4))
    net.initialize()
    net[0].bias.set_data(np.full((4,), -100))
    trainer, loss = gluon.Trainer(net.collect_params(), "sgd"), gluon.loss.L2Loss()
    monitor = watch(trainer, loss)
    for _ in range(3):
        with autograd.record():
            found = loss(net(np.ones((2, 3))), np.ones((2, 4)))
        found.backward()
        trainer.step(2)
    monitor.stop()
    sent = monitor.histograms
    low = onp.frombuffer(sent["gradients"]["lo"]).reshape(len(sent["names"]), -1)
    fixed = {name for name in sent["names"] if "running" in name}
    assert set(sent["fixed"]) == fixed and len(fixed) == 2
    for name, row in zip(sent["names"], low, strict=True):
        assert onp.isnan(row[-1]) == (name in fixed) and (not name.startswith(net[0].name) or row[-1] == 0), name
    assert monitor.fallback().count("none: grad_req is null") == 2


def test_what_no_backward_reached_has_no_gradient_after_a_step():
    net = nn.Sequential()
    net.add(nn.Dense(1, in_units=1), nn.Dense(1, in_units=1))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    monitor = watch(trainer)
    with autograd.record():
        y = net[0](np.ones((1, 1)))
    y.backward()
    trainer.step(1, ignore_stale_grad=True)
    monitor.stop()
    low = onp.frombuffer(monitor.histograms["gradients"]["lo"]).reshape(4, -1)[:, -1]
    reached = [name.startswith(net[0].name) for name in monitor.histograms["names"]]
    assert list(~onp.isnan(low)) == reached


def test_a_parameter_that_learns_again_is_no_more_called_fixed():
    net = nn.Dense(1, in_units=1)
    net.initialize()
    net.collect_params().setattr("grad_req", "null")
    monitor = watch(net)
    assert len(monitor.histograms["fixed"]) == 2
    net.collect_params().setattr("grad_req", "write")
    monitor._push()
    assert monitor.histograms["fixed"] == []
