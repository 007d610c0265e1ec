"""Listeners: they hear of every change made by a call, cost nothing when absent, and cannot stop a run."""

import copy
import gc
import pickle

import pytest

from d2lblocks import autograd, np
from d2lblocks.gluon import Trainer, nn, watch
from d2lblocks.graph import Program
from tests.gluon.twins import needs_programs


def heard_by(net):
    heard = []
    return heard, watch.on_change(net, lambda thing, how: heard.append((thing.name, how)))


def small():
    net = nn.Sequential(prefix="net_")
    with net.name_scope():
        net.add(nn.Dense(3))
    return net


def test_a_life():
    net = small()
    heard, listening = heard_by(net)
    net.initialize()
    assert heard == [("net_dense0_weight", "state"), ("net_dense0_bias", "data")]
    heard.clear()
    net(np.ones((1, 2)))
    assert heard == [("net_dense0_weight", "data"), ("net_dense0", "call"), ("net", "call")]
    heard.clear()
    net(np.ones((1, 2)))
    assert heard == []
    net[0].bias.set_data(np.ones(3))
    net[0].bias.initialize(force_reinit=True)
    net[0].bias.cast("float64")
    assert heard == [("net_dense0_bias", "data")] * 3
    listening.detach()
    net[0].bias.set_data(np.zeros(3))
    assert len(heard) == 3 and not watch._listening


def test_loading(tmp_path):
    net = small()
    net.initialize()
    net(np.ones((1, 2)))
    net.save_parameters(tmp_path / "net.params")
    heard, listening = heard_by(net)
    with listening:
        net.load_parameters(tmp_path / "net.params")
    assert heard == [("net_dense0_weight", "data"), ("net_dense0_bias", "data")]


def test_later_children_are_heard_too():
    net = small()
    heard, listening = heard_by(net)
    with listening:
        net.add(nn.Dense(2, in_units=3, prefix="late_"))
        assert heard.pop() == ("net", "structure")
        net[1].initialize()
    assert ("late_weight", "data") in heard


def test_a_step_of_a_trainer():
    net = nn.Dense(1, in_units=1)
    net.initialize()
    trainer = Trainer(net.collect_params(), "sgd")
    steps = []
    with watch.on_change(trainer, lambda thing, how: steps.append(how)), autograd.record():
        net(np.ones((1, 1))).backward()
        trainer.step(1)
    assert steps == ["step"]


def test_who_hears_of_steps_may_change_between_them():
    net = nn.Dense(1, in_units=1, prefix="d_")
    net.initialize()
    trainer, heard = Trainer(net.collect_params(), "sgd"), []
    with autograd.record():
        net(np.ones((1, 1))).backward()

    def step():
        heard.clear()
        trainer.step(1, ignore_stale_grad=True)
        return heard

    assert step() == []
    first = watch.on_change(trainer, lambda thing, how: heard.append((1, thing, how)))
    assert step() == [(1, trainer, "step")]
    second = watch.on_change(net, lambda thing, how: heard.append((2, thing.name, how)))
    assert step() == [(1, trainer, "step"), (2, "d_bias", "step")]
    net.bias.grad_req = "null"
    assert step() == [(1, trainer, "step"), (2, "d_weight", "step")]
    for other in (copy.deepcopy(trainer), copy.copy(trainer), pickle.loads(pickle.dumps(trainer))):
        heard.clear()
        other.step(1, ignore_stale_grad=True)
        assert [one for one in heard if one[0] == 1] == []
    first.detach()
    assert step() == [(2, "d_weight", "step")]
    second.detach()
    assert step() == []


@needs_programs
def test_a_hook_that_went_lets_the_program_run_again():
    net = nn.HybridSequential()
    net.add(nn.Dense(2, in_units=2))
    net.initialize()
    net.hybridize()
    x, calls = np.ones((1, 2)), []
    net(x)
    with net[0].register_forward_hook(lambda *_: calls.append(1)):
        net(x)
        net(x)
    net(x)
    assert len(calls) == 2 and [type(program) for program in net._programs.known.values()] == [Program]
    with watch.watching(net):
        net(x)
    net(x)
    assert net._last_call and [type(program) for program in net._programs.known.values()] == [Program]


def test_a_net_hears_of_the_steps_of_its_trainer():
    net = nn.Dense(1, in_units=1, prefix="d_")
    net.initialize()
    heard, listening = heard_by(net)
    with listening, autograd.record():
        net(np.ones((1, 1))).backward()
        heard.clear()
        Trainer(net.collect_params(), "sgd").step(1)
    assert heard == [("d_bias", "step")]


def test_a_failing_listener_is_a_warning():
    net = small()

    def fail(thing, how):
        raise ZeroDivisionError("no")

    failed = "listener failed on .* of net_dense0"
    with watch.on_change(net, fail), pytest.warns(UserWarning, match=failed):
        net.initialize()
    assert net[0].bias.data().shape == (3,)


def test_copies_have_no_listeners_and_nets_are_not_kept():
    net = small()
    heard, _ = heard_by(net)
    copy.deepcopy(net).initialize()
    assert heard == []
    del net
    gc.collect()
    assert not watch._listening
