"""A hybridized net computes what it computes as written: values, gradients, random draws; and says what cannot be noted."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lblocks import autograd, gluon, initializer, np, npx
from d2lblocks.gluon import nn
from d2lblocks.gluon.tracing import AS_WRITTEN, DataDependent
from d2lblocks.kernels import program as kernel

pytestmark = pytest.mark.skipif(not kernel.walk.ready(), reason="programs need machine code")
CLOSE = 1e-6  # of the largest number; each step of training may add as much


def mlp(*sizes, act="relu", container=nn.HybridSequential, **options):
    net = container()
    for k, m in zip(sizes, sizes[1:], strict=False):
        net.add(nn.Dense(m, activation=act if m != sizes[-1] else None, in_units=k, **options))
    net.initialize(initializer.Normal(0.3))
    return net


def twins(net):
    """Return the net and a hybridized copy."""
    other = copy.deepcopy(net)
    other.hybridize()
    return net, other


def trained(net, X, y=None, steps=3):
    """Return losses and last gradients of a few steps."""
    loss = gluon.loss.L2Loss() if y is None else gluon.loss.SoftmaxCrossEntropyLoss()
    if getattr(net, "_programs", None):
        loss.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    losses = []
    for _ in range(steps):
        with autograd.record():
            out = net(X)
            l = loss(out, np.zeros_like(out) if y is None else y)  # noqa: E741
        l.backward()
        trainer.step(len(X))
        losses.append(l.asnumpy())
    return losses, [p.grad().asnumpy() for p in net.collect_params().values() if p.grad_req != "null"]


def same(a, b, steps=1):
    for x, y in zip(a, b, strict=True):
        onp.testing.assert_allclose(x, y, rtol=0, atol=steps * CLOSE * max(1, abs(x).max(initial=0)))


def programs(net):
    """Return the programs of a net: all its kinds of input could be noted."""
    found = list(net._programs.known.values())
    assert found and AS_WRITTEN not in found
    return found


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.integers(1, 9), st.booleans(), st.integers(0, 99),
       st.sampled_from(["relu", "sigmoid", "tanh", "softrelu", None]))  # fmt: skip
def test_random_nets(sizes, n, bias, seed, act):
    npx.random.seed(seed)
    net, hybrid = twins(mlp(*sizes, act=act, use_bias=bias))
    X, y = np.random.normal(size=(n, sizes[0])), np.random.randint(0, sizes[-1], (n,))
    same([net(X).asnumpy()], [hybrid(X).asnumpy()])
    for a, b in zip(trained(net, X, y), trained(hybrid, X, y), strict=True):
        same(a, b, steps=5)
    programs(hybrid)


def test_sequential_of_hybrid_blocks_is_one_program():
    inner = mlp(4, 3, container=nn.Sequential)
    net = nn.Sequential()
    net.add(mlp(5, 4), inner)
    with pytest.warns(UserWarning, match="HybridSequential"):
        net.hybridize()
    X = np.ones((2, 5))
    net(X)  # the first call tells the views what shapes there are
    net(X)
    assert len(programs(net)[0].steps) == 2
    assert not inner._programs.known


class Residual(nn.HybridSequential):
    def hybrid_forward(self, F, x):
        raise AssertionError

    def forward(self, x):
        return npx.relu(super().forward(x)) + x


class Own(gluon.HybridBlock):
    """Its own parameter, used alone as well, and other shapes."""

    def __init__(self):
        super().__init__()
        self.w = self.params.get("w", shape=(3, 4))

    def hybrid_forward(self, F, x, w):
        scaled = w / F.np.sqrt((w * w).sum(axis=1, keepdims=True) + 1)
        return F.np.dot(x.reshape(-1, 3), scaled), F.npx.softmax(x)


@pytest.mark.parametrize("block", [Residual, Own])
def test_own_blocks(block):
    npx.random.seed(2)
    net = block()
    if block is Residual:
        net.add(nn.Dense(3, in_units=3, activation="tanh"), nn.Dropout(0.4), nn.LayerNorm(in_channels=3))
    net.initialize()
    X = np.random.normal(size=(4, 3))
    results = []
    for one in twins(net):
        npx.random.seed(3)
        x = X.copy()
        x.attach_grad()
        for _ in range(3):
            with autograd.record():
                out = one(x)
                out = out if isinstance(out, tuple) else (out, out * 2)
                total = out[0].sum() + (out[1] * out[1]).sum()
            total.backward()
        params = one.collect_params().values()
        results.append([total.asnumpy(), x.grad.asnumpy(), *[p.grad().asnumpy() for p in params]])
    same(*results, steps=5)
    programs(one)


def test_dropout_draws_as_it_does_as_written():
    drawn = []
    for hybrid in (False, True):
        net = nn.HybridSequential()
        net.add(nn.Dropout(0.5), nn.Dense(2, in_units=9))
        net.initialize()
        net[1].weight.set_data(np.ones((2, 9)))
        net(np.ones((1, 9)))
        if hybrid:
            net.hybridize()
        npx.random.seed(5)
        with autograd.train_mode():
            drawn.append([net(np.ones((3, 9))).asnumpy() for _ in range(3)] + [np.random.uniform(size=2).asnumpy()])
    same(*drawn)
    assert not (drawn[0][0] == drawn[0][1]).all()


class Doubled(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        while F.np.abs(x).sum() > 1:
            x = x / 2
        return x


def test_an_if_on_numbers_is_an_error_that_names_the_line():
    net = Doubled()
    net(np.ones(3))
    net.hybridize()
    with pytest.raises(DataDependent, match=r"\(Doubled\).*test_hybridize.py, line \d+, in hybrid_forward.*np.where"):
        net(np.ones(3))
    net.hybridize(False)
    assert float(net(np.ones(3)).sum()) == 0.75


class Odd(gluon.HybridBlock):
    def __init__(self, what):
        super().__init__()
        self._what = what

    def forward(self, x):
        return self._what(x)


def written(x):
    y = x * 1
    y[0] = 7
    return y


def paused(x):
    with autograd.pause():
        return x * 2


@pytest.mark.parametrize(
    "what", [written, paused, lambda x: x.detach() * 2, lambda x: x + np.random.uniform(size=3), lambda x: x,
             lambda x: np.array(x.shape) + x[np.array([0, 1])].sum(), lambda x: (x * 2, x), lambda x: [x * 2, [x]]]
)  # fmt: skip
def test_what_cannot_be_noted_runs_as_written(what):
    net = Odd(what)
    net.hybridize()
    for k in range(1, 4):
        npx.random.seed(k)
        found = net(np.arange(3) * k)
        npx.random.seed(k)
        expected = what(np.arange(3) * k)
        assert str(found) == str(expected)


def test_two_calls_before_backward_have_a_plan_each():
    net, hybrid = twins(mlp(4, 6, 2))
    A, B = np.random.normal(size=(3, 4)), np.random.normal(size=(3, 4))
    hybrid(A)
    results = []
    for one in (net, hybrid):
        with autograd.record():
            a, b = one(A), one(B)
            l = (a * b).sum()  # noqa: E741
        l.backward(retain_graph=True)
        first = [p.grad().asnumpy() for p in one.collect_params().values()]
        l.backward()
        results.append([l.asnumpy(), *first, *[p.grad().asnumpy() for p in one.collect_params().values()]])
    same(*results)
    del a, b, l
    (program,) = programs(hybrid)
    assert len(program.free) == 2  # they came back


@pytest.mark.parametrize("req", ["write", "add", "null"])
def test_grad_req(req):
    results = []
    for one in twins(mlp(4, 5, 2)):
        one.collect_params().setattr("grad_req", req)
        x = np.ones((2, 4))
        x.attach_grad()
        for _ in range(3):
            with autograd.record():
                y = one(x)
            y.backward()
        params = one.collect_params().values()
        results.append([x.grad.asnumpy(), *[p.grad().asnumpy() for p in params if req != "null"]])
    same(*results)


def test_gradients_that_somebody_holds_are_written_in_place():
    net = twins(mlp(4, 2))[1]
    held = net[0].weight.grad()
    for k in (1, 2):
        with autograd.record():
            y = net(np.ones((1, 4)) * k)
        y.backward()
        assert (held == k).all()


def test_grad_and_second_derivatives():
    results = []
    for one in twins(mlp(3, 4, 1, act="tanh")):
        x = np.array([[0.5, -1.0, 2.0]])
        x.attach_grad()
        with autograd.record():
            (dx,) = autograd.grad(one(x), [x], create_graph=True)
            l = (dx * dx).sum()  # noqa: E741
        l.backward()
        results.append([dx.asnumpy(), x.grad.asnumpy(), one[0].weight.grad().asnumpy()])
    same(*results)


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
    net = twins(mlp(4, 3, 2))[1]
    X = np.ones((1, 4))
    net(X)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        net[0].weight.set_data(np.zeros((3, 4)))
        assert other._active and other._programs.block is other
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
