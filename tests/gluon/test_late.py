"""Gradients that wait to be multiplied out: whoever looks sees them, and plain SGD takes the very same step without them."""

import copy
from contextlib import contextmanager
from unittest import mock

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.gluon import nn
from d2lblocks.late import BIG
from d2lblocks.npx import linear
from tests.gluon.twins import mlp, needs_programs, same, twins

pytestmark = needs_programs
SIZES = 300, 160, 10  # the first layer's weight is big, the second's is not


class Training:
    """A net, its loss and its trainer; what is done to it by name is done to twins alike."""

    def __init__(self, net, optimizer="sgd", **options):
        self.net, self.loss = net, gluon.loss.SoftmaxCrossEntropyLoss()
        if net._programs is not None:
            self.loss.hybridize()
        self.trainer = gluon.Trainer(net.collect_params(), optimizer, {"learning_rate": 0.1, **options})
        self.weight = net[0].weight
        self.held = None
        self.seen = []

    @property
    def leaf(self):
        return self.weight.data()._node

    def backward(self, n=4):
        X, y = np.random.normal(size=(n, SIZES[0])), np.random.randint(0, SIZES[-1], (n,))
        with autograd.record():
            l = self.loss(self.net(X), y)  # noqa: E741
        l.backward()
        X[:] = 7  # a gradient that waits has numbers of its own

    def many(self):
        self.backward(200)

    def both(self, again=False):
        X, y = np.random.normal(size=(4, SIZES[0])), np.random.randint(0, SIZES[-1], (4,))
        with autograd.record():
            l = self.loss(self.net(X), y) + self.loss(self.net(X * 2), y)  # noqa: E741
        l.backward(retain_graph=again)
        if again:
            l.backward()

    def twice(self):
        self.both(again=True)

    def elsewhere(self):
        X = np.random.normal(size=(4, SIZES[0]))
        with autograd.record():
            l = self.net(X).sum()  # noqa: E741
        self.seen += [g.asnumpy() for g in autograd.grad(l, [p.data() for p in self.net.collect_params().values()])]

    def step(self):
        if self.leaf.fresh:
            self.trainer.step(4)

    def look(self):
        self.seen.append(self.weight.grad().asnumpy())

    def hold(self):
        self.held = self.weight.grad()

    def let_go(self):
        self.held = None

    def zero(self):
        self.weight.zero_grad()

    def set(self):
        self.weight.set_data(self.weight.data() * 0.9)

    def add(self):
        self.weight.grad_req = "add"

    def write(self):
        self.weight.grad_req = "write"


@contextmanager
def late():
    """Let gradients wait, as they do."""
    yield


def at_once():
    """Let no gradient of a net as written wait."""
    return mock.patch.object(linear, "waiting", lambda *_: None)


ACTIONS = [
    "backward",
    "many",
    "both",
    "twice",
    "elsewhere",
    "step",
    "look",
    "hold",
    "let_go",
    "zero",
    "set",
    "add",
    "write",
]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(ACTIONS), min_size=2, max_size=14),
    st.sampled_from([{}, {"momentum": 0.9}, {"wd": 0.1}, {"clip_gradient": 0.01}, {"optimizer": "adam"}]),
    st.integers(0, 99),
)
def test_whatever_is_done_the_gradients_are_those_of_the_net_as_written(actions, options, seed):
    npx.random.seed(seed)
    results = []
    net, hybrid = twins(mlp(*SIZES))
    for one, way in ((copy.deepcopy(net), at_once), (net, late), (hybrid, late)):
        npx.random.seed(seed + 1)
        one(np.zeros((4, SIZES[0])))
        training = Training(one, **options)
        with way():
            for action in ["backward", "step", *actions, "look"]:
                getattr(training, action)()
        results.append([*training.seen, *[p.data().asnumpy() for p in one.collect_params().values()]])
    at_once_found, *others = results
    for found in others:
        same(at_once_found, found, steps=len(actions) + 2)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("n", [1, 4, 40, 70])
def test_a_step_of_sgd_is_the_same_to_the_last_bit(n, hybrid):
    weights = []
    for looks in (False, True):
        npx.random.seed(1)
        net = mlp(*SIZES)
        if hybrid:
            net.hybridize()
        net(np.zeros((n, SIZES[0])))
        one = Training(net)
        for _ in range(3):
            one.backward(n)
            waited = one.leaf.late is not None
            if looks:
                one.look()
            one.step()
        weights.append([p.data().asnumpy() for p in net.collect_params().values()])
        assert waited
        assert (one.leaf.late is None) is looks  # nobody has asked for it to this day
    for a, b in zip(*weights, strict=True):
        onp.testing.assert_array_equal(a, b)


def test_it_is_still_there_after_the_step_and_the_next_forward():
    net, hybrid = twins(mlp(*SIZES))
    found = []
    for one in (Training(net), Training(hybrid)):
        one.net(np.zeros((4, SIZES[0])))
        npx.random.seed(3)
        one.backward()
        one.step()
        with autograd.record():
            one.net(np.ones((4, SIZES[0])))
        one.look()
        found.append(one.seen)
    same(*found)


@pytest.mark.parametrize("which", [0, 1])
def test_a_gradient_in_somebodys_hands_is_written_at_once(which):
    net = twins(mlp(*SIZES))[which]
    net(np.zeros((4, SIZES[0])))
    one = Training(net)
    one.backward()
    one.hold()
    one.backward()
    assert one.leaf.late is None
    onp.testing.assert_array_equal(one.held.asnumpy(), one.weight.grad().asnumpy())


@pytest.mark.parametrize("times", [1, 2])
def test_a_gradient_waits_too_where_the_product_is_for_blas(times):
    found = []
    for net in twins(mlp(1024, 1024, 1024, 3)):
        npx.random.seed(3)
        X = np.random.normal(size=(16, 1024))
        net(X)
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
        leaves = [net[k].weight.data()._node for k in range(2)]
        for _ in range(3):
            with autograd.record():
                l = sum(net(X) for _ in range(times)).sum()  # noqa: E741
            l.backward()
            waiting = [leaf.late is not None for leaf in leaves]
            trainer.step(16)
        assert all(waiting) is (times == 1)
        found.append([p.data().asnumpy() for p in net.collect_params().values()])
    same(*found, steps=3)


PENALTIES = {
    "squares": lambda W: (W * W).sum(),
    "some rows": lambda W: (W[:4] * 3).sum(),
    "turned": lambda W: np.dot(np.ones((5, 160)), W).sum() + (W.T * 2).sum(),
    "nothing": lambda W: np.array([0.0]).sum(),
}


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_a_weight_that_gets_a_gradient_from_elsewhere_too(which, first, penalty):
    def loss():
        with autograd.record():
            if first:
                other = PENALTIES[penalty](W)
                return other + net(X).sum()
            return net(X).sum() + PENALTIES[penalty](W)

    npx.random.seed(3)
    net = twins(mlp(*SIZES))[which]
    X = np.random.normal(size=(4, SIZES[0]))
    net(X)
    W = net[0].weight.data()
    found = []
    for way in (at_once, late):
        with way():
            for _ in range(3):
                loss().backward()
            found.append(W.grad.asnumpy())
    (right,) = autograd.grad(loss(), [W])
    for one in found:
        onp.testing.assert_allclose(one, right.asnumpy(), rtol=1e-4, atol=1e-4)


def test_two_calls_in_one_backward_after_one_that_waits():
    found = []
    for net in twins(mlp(*SIZES)):
        npx.random.seed(3)
        net(np.zeros((4, SIZES[0])))
        one = Training(net)
        one.backward()
        one.backward()
        one.both()
        one.look()
        found.append(one.seen)
    same(*found, steps=3)


@pytest.mark.parametrize("which", [0, 1])
def test_small_weights_do_not_wait(which):
    net = twins(mlp(8, 4, 2))[which]
    net(np.zeros((4, 8)))
    with autograd.record():
        y = net(np.ones((4, 8)))
    y.backward()
    assert all(p.data().size < BIG and p.data()._node.late is None for p in net.collect_params().values())


@pytest.mark.parametrize("warm", [0, 2, 3])
@pytest.mark.parametrize("hybrid_first", [False, True])
def test_a_weight_of_a_hybridized_layer_that_is_used_as_written_too(warm, hybrid_first):
    net = nn.Dense(300, in_units=160)
    net.initialize()
    net.hybridize()
    X1, X2, G1, G2 = (np.random.normal(size=(4, n)) for n in (160, 160, 300, 300))
    for _ in range(warm):
        with autograd.record():
            l = net(X1)  # noqa: E741
        l.backward()
    with autograd.record():
        if hybrid_first:
            a, b = net(X1), npx.fully_connected(X2, net.weight.data(), None, no_bias=True)
        else:
            b, a = npx.fully_connected(X2, net.weight.data(), None, no_bias=True), net(X1)
        l = (a * G1).sum() + (b * G2).sum()  # noqa: E741
    l.backward()
    right = G1.asnumpy().T @ X1.asnumpy() + G2.asnumpy().T @ X2.asnumpy()
    onp.testing.assert_allclose(net.weight.grad().asnumpy(), right, rtol=1e-4, atol=1e-4)


class Look(autograd.Function):
    """Looks at a gradient while it is being computed."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, x):
        return x * 1

    def backward(self, g):
        self.weight.grad()
        return g


def test_a_gradient_that_is_looked_at_on_the_way_back():
    net = nn.Dense(300, in_units=160, use_bias=False)
    net.initialize()
    v = np.ones((160,))
    v.attach_grad()
    small, big = (np.random.normal(size=(n, 160)) for n in (4, 400))
    for look, X in ((lambda x: x, small), (Look(net.weight), big)):
        with autograd.record():
            l = net(look(X * v)).sum()  # noqa: E741
        l.backward()
    right = onp.tile(big.asnumpy().sum(0), (300, 1))
    onp.testing.assert_allclose(net.weight.grad().asnumpy(), right, rtol=1e-3, atol=1e-3)
