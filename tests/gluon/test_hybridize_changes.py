"""What happens to a hybridized net between its calls: other parameters, shapes, hooks, threads; a program must not be stale."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, initializer, np, npx
from d2lblocks.gluon import nn
from d2lblocks.gluon.tracing import MOST
from tests.gluon.twins import mlp, needs_programs, programs, same, trained, twins

pytestmark = needs_programs


def test_training_goes_on_through_changes():
    net, hybrid = twins(mlp(4, 5, 3))
    X, y = np.random.normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 2])
    for change in (
        lambda n: n[0].weight.set_data(np.ones((5, 4)) * 0.1),
        lambda n: n.initialize(initializer.Constant(0.2), force_reinit=True),
        lambda n: n[0].bias.data().__setitem__(0, 3.0),
        lambda n: n.add(nn.Dense(3, in_units=3, weight_initializer="ones")) or n[2].initialize(),
        lambda n: n.collect_params().setattr("grad_req", "add"),
        lambda n: n.collect_params().zero_grad(),
    ):  # fmt: skip
        change(net)
        change(hybrid)
        for a, b in zip(trained(net, X, y), trained(hybrid, X, y), strict=True):
            same(a, b, steps=30)


def test_other_shapes_and_dtypes():
    net, hybrid = twins(mlp(4, 5, 3))
    for X in (np.ones((2, 4)), np.ones((7, 4)), np.ones((0, 4)), np.ones((2, 2, 2)), np.ones((4, 2)).T):
        same([net(X).asnumpy()], [hybrid(X).asnumpy()])
    for one in (net, hybrid):
        one.cast("float64")
    X = np.ones((2, 4), dtype="float64")
    assert hybrid(X).dtype == onp.float64
    same([net(X).asnumpy()], [hybrid(X).asnumpy()])
    with pytest.raises(ValueError, match="dtype float32, the weights are float64"):
        hybrid(np.ones((2, 4)))
    with pytest.raises(ValueError, match="expects input of 4 features"):
        hybrid(np.ones((2, 5), dtype="float64"))


class Doubling(gluon.HybridBlock):
    """A weight whose columns lie side by side, used number by number."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(2, in_units=3)
        self.dense.weight.shape = (2, 3)

    def forward(self, x):
        return self.dense(x), self.dense.weight.data() * 2, np.exp(self.dense.weight.data().T)


def test_weights_used_number_by_number():
    net = Doubling()
    net.initialize(initializer.Normal(1))
    net(np.ones((1, 3)))
    for a, b in zip(net(np.ones((1, 3))), [net.hybridize(), net(np.ones((1, 3)))][1], strict=True):
        same([a.asnumpy()], [b.asnumpy()])
    programs(net)


def test_ever_new_shapes_do_not_pile_up():
    net = mlp(1, 1)
    net.hybridize()
    for n in range(1, 100):
        assert net(np.ones((n, 1))).shape == (n, 1)
    assert len(programs(net)) == MOST


def test_big_inputs_are_read_where_they_lie():
    net, hybrid = twins(mlp(100, 30, 2))
    X = np.random.normal(size=(3, 200, 100))[1]
    assert X.size > 4096
    for part in (X, X[::2], np.random.normal(size=(100, 200)).T):
        same([net(part).asnumpy()], [hybrid(part).asnumpy()])
    for a, b in zip(trained(net, X), trained(hybrid, X), strict=True):
        same(a, b, steps=5)


def test_labels_are_checked_in_every_call():
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize()
    scores = np.ones((2, 3))
    assert loss(scores, np.array([0, 2])).shape == (2,)
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match="out of range: there are 3 classes"):
            loss(scores, np.array(wrong))
    assert loss(scores, np.array([0, 2])).shape == (2,)
    programs(loss)


def test_what_a_gradient_needs_must_not_be_overwritten():
    net = twins(mlp(4, 3, 2))[1]
    for spoil in (lambda x: x.__setitem__(0, 5.0), lambda x: net[0].weight.set_data(np.ones((3, 4)))):
        X = np.ones((2, 4))
        with autograd.record():
            y = net(X)
        spoil(X)
        with pytest.raises(Exception, match="changed in place"):
            y.backward()


def test_outputs_stay_what_they_were():
    net = twins(mlp(4, 3))[1]
    first = net(np.ones((1, 4)))
    before = first.asnumpy()
    net(np.zeros((1, 4)))
    assert (first.asnumpy() == before).all()


def test_hooks_are_called_as_before():
    net = twins(mlp(4, 3, 2))[1]
    X, seen = np.ones((1, 4)), []
    net(X)
    with net[0].register_forward_hook(lambda block, args, out: seen.append(out.shape)):
        net(X)
    net(X)
    assert seen == [(1, 3)]


def test_copies_and_pickles_are_hybridized_too():
    net = twins(mlp(4, 3, 2, act="tanh"))[1]
    X = np.ones((1, 4))
    net(X)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        net[0].weight.set_data(np.zeros((3, 4)))
        assert other._active and other._programs is not net._programs
        assert abs(other(X)).sum() > 0
        programs(other)


def test_threads_have_plans_of_their_own():
    net, hybrid = twins(mlp(20, 50, 3))
    X = [np.random.normal(size=(4, 20)) for _ in range(4)]
    expected = [net(x).asnumpy() for x in X]

    def work(k):
        return max(abs(hybrid(X[k]).asnumpy() - expected[k]).max() for _ in range(300))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) < 1e-5


def test_deferred_sizes_and_embedding():
    results = []
    for hybrid in (False, True):
        npx.random.seed(1)
        net = nn.HybridSequential()
        net.add(nn.Embedding(7, 3), nn.Flatten(), nn.Dense(4, activation="relu"), nn.BatchNorm(), nn.Dense(2))
        net.initialize()
        if hybrid:
            net.hybridize()
        X = np.array([[0, 1, 6], [3, 3, 2]])
        with autograd.predict_mode():
            net(X)
        losses, gradients = trained(net, X, np.array([0, 1]))
        results.append([*losses, *gradients, net(X).asnumpy()])
    same(*results)


def test_tied_weights():
    results = []
    for hybrid in (False, True):
        npx.random.seed(1)
        first = nn.Dense(4, in_units=4, activation="relu")
        net = nn.HybridSequential()
        net.add(first, nn.Dense(4, in_units=4, params=first.params), first)
        net.initialize()
        if hybrid:
            net.hybridize()
        losses, gradients = trained(net, np.ones((2, 4)))
        results.append([*losses, *gradients])
    same(*results)
    programs(net)


class Scaled(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.c = np.array(2.0)

    def hybrid_forward(self, F, x):
        return x * self.c


def test_a_constant_that_is_replaced():
    net = Scaled()
    net.hybridize()
    for c in (2.0, 5.0, 7.0):
        net.c = np.array(c)
        assert [net(np.ones(3)).sum().item() for _ in range(3)] == [3 * c] * 3
        net.c[...] = c + 1
        assert net(np.ones(3)).sum() == 3 * (c + 1)
    programs(net)
