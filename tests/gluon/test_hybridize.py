"""A hybridized net computes what it computes as written: values, gradients, random draws; it says what cannot be noted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.gluon import nn
from d2lblocks.gluon.tracing import DataDependent
from tests.gluon.twins import mlp, needs_programs, programs, same, trained, twins

pytestmark = needs_programs


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


STEPS = {
    "add": lambda x, y: x + y, "subtract": lambda x, y: y - x, "multiply": lambda x, y: x * y, "squared": lambda x, y: x * x,
    "divide": lambda x, y: x / (1 + y * y), "by": lambda x, y: 2 / (1 + x * x), "negative": lambda x, y: -x + y,
    "exp": lambda x, y: np.exp(-x * x), "sqrt": lambda x, y: np.sqrt(x * x + 1), "root": lambda x, y: (x * x + 1) ** 0.5,
    "cube": lambda x, y: 0.1 * y**3 - x**2, "erf": lambda x, y: npx.erf(x) * y, "tanh": lambda x, y: np.tanh(x - y),
    "sigmoid": lambda x, y: npx.sigmoid(x) * 3, "relu": lambda x, y: npx.relu(x) + y,
}  # fmt: skip
ENDS = [
    lambda x: x, lambda x: x.sum(), lambda x: x.mean(axis=-1), lambda x: x.sum(axis=(1, 2), keepdims=True),
    lambda x: x.mean(axis=0), lambda x: x.reshape(-1, 6).sum(axis=1), lambda x: x.mean(axis=1),
]  # fmt: skip


class Formula(gluon.HybridBlock):
    def __init__(self, names, end):
        super().__init__()
        self.names, self.end = names, end

    def hybrid_forward(self, F, x, y):
        for name in self.names:
            x, y = STEPS[name](x, y), x
        return ENDS[self.end](x * 0.5 + y)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6), st.integers(0, len(ENDS) - 1), st.integers(0, 99),
       st.booleans())  # fmt: skip
def test_formulas_and_their_gradients(names, end, seed, long):
    npx.random.seed(seed)
    x, y = (np.random.normal(size=(5, 200, 72) if long else (5, 4, 6)) for _ in range(2))
    found = []
    near = x * (1 + 2e-7 * np.random.normal(size=x.shape))  # what this moves rounding may move, too
    net, hybrid = twins(Formula(names, end))
    for one, at in ((net, x), (hybrid, x), (net, near)):
        one(at, y)
        one(at, y)
        at.attach_grad()
        y.attach_grad()
        with autograd.record():
            z = one(at, y)
        z.backward()
        found.append([z.asnumpy(), at.grad.asnumpy(), y.grad.asnumpy()])
        if end != 4 and end != 6 and one._programs:  # sums over other axes than the last are for NumPy
            (plan,) = [p.plans[0].plan for p in one._programs.known.values() if p.recording]
            assert all(call.__qualname__.startswith("_stretch") for call in plan.ahead + plan.back)
    for a, b, moved in zip(*found, strict=True):
        atol = max(1e-5 * max(1, abs(a).max(initial=0)), 20 * abs(a - moved).max(initial=0))
        assert abs(a - b).max(initial=0) <= atol


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
    assert len(program.plans) == 2  # they came back


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


@pytest.mark.parametrize("rate", [0, 0.5])
def test_grad_and_second_derivatives(rate):
    net = mlp(3, 4, 1, act="tanh")
    net.add(nn.Dropout(rate), nn.Dense(2, in_units=1))
    net[-1].initialize()
    results = []
    for one in twins(net):
        npx.random.seed(3)
        x = np.array([[0.5, -1.0, 2.0]])
        x.attach_grad()
        with autograd.record():
            (dx,) = autograd.grad(one(x), [x], create_graph=True)
            l = (dx * dx).sum()  # noqa: E741
        l.backward()
        results.append([dx.asnumpy(), x.grad.asnumpy(), one[0].weight.grad().asnumpy()])
    same(*results)


def test_a_batch_of_many_rows():
    results = []
    for one in twins(mlp(61, 130, 140, 10)):
        npx.random.seed(2)
        X, y = np.random.normal(size=(150, 61)), np.random.randint(0, 10, size=150)
        losses, grads = trained(one, X, y)
        results.append([*losses, *grads])
    same(*results, steps=3)


class Checked(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        F.npx.constraint_check(x > 0, "not all are positive")
        return x * 2


def test_a_constraint_is_checked_in_every_call():
    net = Checked()
    net.hybridize()
    for _ in range(2):
        for _ in range(2):
            assert net(np.ones(3)).sum() == 6
        with pytest.raises(ValueError, match="^not all are positive"):
            net(np.array([1.0, -1.0, 1.0]))
    programs(net)


class Several(gluon.HybridBlock):
    """Three outputs; the second one has an infinite slope."""

    def __init__(self, rate=0.0):
        super().__init__()
        self.a, self.b, self.drop = nn.Dense(300, in_units=200), nn.Dense(2, in_units=300), nn.Dropout(rate)

    def hybrid_forward(self, F, x):
        h = self.drop(self.a(x))
        return self.b(h), F.np.sqrt(h * 0), h


@pytest.mark.parametrize("rate", [0, 0.5])
@pytest.mark.parametrize("used", [[0], [1], [2], [0, 2], [1, 2], [0, 1, 2]])
def test_outputs_that_are_not_used_give_no_gradient(used, rate):
    net = Several(rate)
    net.initialize()
    x, found = np.random.normal(size=(4, 200)), []
    for one in twins(net):
        npx.random.seed(3)
        params = one.collect_params()
        x.attach_grad()
        for _ in range(3):
            trainer = gluon.Trainer(params, "sgd", {"learning_rate": 0.0})
            with autograd.record():
                out = one(x)
                loss = sum((out[k] * (k + 1)).sum() for k in used)
            loss.backward()
            fresh = [p.data()._node.fresh for p in params.values()]
            trainer.step(1, ignore_stale_grad=True)
        found.append([fresh, x.grad.asnumpy(), *[p.grad().asnumpy() for p in params.values()]])
    same(found[0][1:], found[1][1:])
    assert found[0][0] == found[1][0]
    assert (found[0][1] != found[0][1]).any() == (1 in used)


def test_calls_of_one_net_that_share_an_input_and_use_some_outputs():
    net, found = Several(), []
    net.initialize()
    x = np.random.normal(size=(4, 200))
    for one in twins(net):
        x.attach_grad()
        with autograd.record():
            loss = (one(x)[0] ** 2).sum() + one(x * 2)[0].sum() + 3 * one(x)[0].sum()
        loss.backward()
        found.append([x.grad.asnumpy(), one.a.weight.grad().asnumpy()])
    same(*found)


@pytest.mark.parametrize("which", [0, 1])
def test_a_frozen_weight_that_is_changed_before_backward(which):
    net = mlp(3, 4, 2)
    net[1].collect_params().setattr("grad_req", "null")
    net = twins(net)[which]
    for change in (True, False):
        for _ in range(3):
            with autograd.record():
                y = net(np.ones((2, 3))).sum()
            if not change:
                y.backward()
        if change:
            net[1].weight.data()[:] = 7
            with pytest.raises(RuntimeError, match="changed in place"):
                y.backward()


class Scaled(nn.Dense):
    """A layer with one parameter more than the one it is made of."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(1,), init="ones")

    def hybrid_forward(self, F, x, bias, weight, scale):
        return super().hybrid_forward(F, x, weight, bias) * scale * 10


@pytest.mark.parametrize("which", [0, 1])
def test_a_layer_made_of_dense_gets_all_its_parameters_by_name(which):
    net = Scaled(2, in_units=3)
    net.initialize("ones")
    net = twins(net)[which]
    for _ in range(4):
        assert (net(np.ones((1, 3))) == 30).all()


@pytest.mark.parametrize("which", [0, 1])
def test_an_activation_of_another_kind(which):
    net = nn.Dense(2, activation="relu", in_units=3)
    net.act = nn.HybridLambda(lambda F, x: x * 0 + 7)
    net.initialize()
    net = twins(net)[which]
    for _ in range(4):
        assert (net(np.ones((1, 3))) == 7).all()
