"""A trainer moves all parameters by one kernel call: with the result of one call each, whatever happens to them."""

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx, optimizer
from d2lblocks.gluon import nn


class OneByOne(optimizer.SGD):
    def _get_lr(self, index):
        return super()._get_lr(index)


class OneByOneAdam(optimizer.Adam):
    def _get_lr(self, index):
        return super()._get_lr(index)


def made(how):
    npx.random.seed(0)
    net = nn.Sequential()
    net.add(nn.Dense(5, activation="relu"), nn.Dense(3), nn.Dense(1))
    net.initialize()
    net(np.ones((2, 4)))
    net[1].weight.lr_mult, net[0].bias.wd_mult, net[2].bias.grad_req = 0.5, 0.0, "add"
    return net, gluon.Trainer(net.collect_params(), how)


def step(net, trainer, **kwargs):
    with autograd.record():
        loss = (net(np.arange(8).reshape(2, 4) / 8) ** 2).sum()
    loss.backward()
    trainer.step(2, **kwargs)


def numbers(net):
    return [p.data().asnumpy() for p in net.collect_params().values()]


PAIRS = {
    "sgd": (optimizer.SGD, OneByOne, {}),
    "momentum": (optimizer.SGD, OneByOne, {"momentum": 0.9, "clip_gradient": 0.1}),
    "adam": (optimizer.Adam, OneByOneAdam, {}),
    "scheduled": (optimizer.SGD, OneByOne, {"lr_scheduler": lambda t: 0.1 / t}),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_all_at_once_is_one_by_one_to_the_last_bit(pair):
    fast, slow, arguments = PAIRS[pair]
    (one, fast_trainer), (other, slow_trainer) = made(fast(wd=0.01, **arguments)), made(slow(wd=0.01, **arguments))
    for k in range(6):
        for net, trainer in ((one, fast_trainer), (other, slow_trainer)):
            step(net, trainer)
            if k == 1:
                net[1].weight.lr_mult = 2.0
            if k == 2:
                net[0].weight.set_data(net[0].weight.data() * 2)
            if k == 3:
                net[2].initialize(force_reinit=True, init="ones")  # other arrays
            if k == 4 and not trainer.optimizer.lr_scheduler:
                trainer.set_learning_rate(0.01)
        for a, b in zip(numbers(one), numbers(other), strict=True):
            onp.testing.assert_array_equal(a, b)
    assert fast_trainer._updater.together.kernel is not None
    assert slow_trainer._updater.together.kernel is None
    assert fast_trainer.optimizer.num_update == slow_trainer.optimizer.num_update == 6


def test_loaded_states_take_the_place_of_those_in_the_table(tmp_path):
    net, trainer = made(optimizer.SGD(momentum=0.9))
    step(net, trainer)
    trainer.save_states(tmp_path / "states")
    step(net, trainer)
    before = numbers(net)
    trainer.load_states(tmp_path / "states")
    state = trainer._updater.states[0].copy()
    step(net, trainer)
    assert (trainer._updater.states[0] != state).any()
    assert any((a != b).any() for a, b in zip(before, numbers(net), strict=True))


def test_a_stale_parameter_stays_and_the_others_move():
    net, trainer = made(optimizer.SGD(learning_rate=0.1))
    step(net, trainer)
    with autograd.record():
        loss = (net[1](np.ones((2, 5))) ** 2).sum()
    loss.backward()
    before = numbers(net)
    trainer.step(2, ignore_stale_grad=True)
    moved = [bool((a != b).any()) for a, b in zip(before, numbers(net), strict=True)]
    assert moved == [False, False, True, True, False, False]
    step(net, trainer)  # now the counts differ
    assert trainer.optimizer._index_update_count == {0: 2, 1: 2, 2: 3, 3: 3, 4: 2, 5: 2}


def test_half_and_double_precision_go_by_numpy():
    for dtype in ("float16", "float64"):
        net, trainer = made(optimizer.SGD(learning_rate=0.1))
        net.cast(dtype)
        with autograd.record():
            loss = (net(np.ones((2, 4), dtype=dtype)) ** 2).sum()
        before = numbers(net)
        loss.backward()
        trainer.step(1)
        assert trainer._updater.together.kernel is None
        assert any((a != b).any() for a, b in zip(before, numbers(net), strict=True))
