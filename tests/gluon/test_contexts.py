"""Parameters on several contexts, and training with them."""

import pytest

from d2lblocks import autograd, gluon, init, np, npx
from d2lblocks.gluon import nn
from tests.gluon.test_surface_names import chain

CPUS = [npx.cpu(0), npx.cpu(1)]


def test_a_copy_per_context():
    p = gluon.Parameter("w", shape=(2,))
    p.initialize(ctx=CPUS)
    a, b = p.list_data()
    assert p.list_ctx() == [a.ctx, b.ctx] == CPUS and a.tolist() == b.tolist() and p.data(CPUS[1]) is b
    assert p.data() is a and [g.ctx for g in p.list_grad()] == CPUS
    with npx.cpu(1):
        assert p.data() is b and p.grad().ctx == CPUS[1]
    b[:] = 7
    assert 7 not in a.tolist()
    p.set_data(np.ones(2))
    assert a.tolist() == b.tolist() == [1, 1]
    p.cast("float64")
    assert [x.dtype for x in (*p.list_data(), *p.list_grad())] == ["float64"] * 4 and p.list_ctx() == CPUS
    p.reset_ctx([npx.cpu(1), npx.cpu(2)])
    assert p.list_ctx() == [npx.cpu(1), npx.cpu(2)] and p.data(npx.cpu(2)).tolist() == [1, 1]
    with pytest.raises(RuntimeError, match=r"context cpu\(0\). It was only initialized on \[cpu\(1\), cpu\(2\)\]"):
        p.data()
    p.reset_ctx(npx.cpu(1))
    assert p.data().ctx == npx.cpu(1)  # the only one there is


def test_a_context_named_twice_counts_once():
    p = gluon.Parameter("w", shape=(2,))
    p.initialize(ctx=[npx.cpu(), npx.cpu()])
    assert p.list_ctx() == [npx.cpu()]


def test_waiting_parameters_keep_their_contexts(tmp_path):
    d = nn.Dense(2)
    d.initialize(ctx=CPUS)
    d.collect_params().reset_ctx([npx.cpu(1), npx.cpu(2)])
    assert d.weight.list_ctx() == d.collect_params().list_ctx() == [npx.cpu(1), npx.cpu(2)]
    d(np.ones((1, 3), ctx=npx.cpu(2)))
    assert [x.ctx for x in d.weight.list_data()] == [npx.cpu(1), npx.cpu(2)]
    d.save_parameters(tmp_path / "f")
    d.collect_params().save(tmp_path / "g", d.prefix)
    assert [npx.load(tmp_path / name)["weight"].shape for name in "fg"] == [(2, 3), (2, 3)]


def test_a_layer_takes_the_copy_beside_its_input():
    d = chain(nn.Dense(2, in_units=2), nn.Dense(1, in_units=2))
    d.initialize(init.One(), ctx=CPUS)
    with autograd.record():
        y = d(np.ones((1, 2), ctx=CPUS[1])).sum()
    y.backward()
    assert y.ctx == CPUS[1]
    assert [bool(g.any()) for g in d[0].weight.list_grad()] == [False, True]
    with pytest.raises(RuntimeError, match=r"context cpu\(2\). It was only initialized on \[cpu\(0\), cpu\(1\)\]"):
        d(np.ones((1, 2), ctx=npx.cpu(2)))


def test_loading_onto_contexts(tmp_path):
    net = chain(nn.Dense(3, in_units=4))
    net.initialize(init.One(), ctx=CPUS)
    net.save_parameters(tmp_path / "f")
    fresh = chain(nn.Dense(3))
    fresh.load_parameters(tmp_path / "f", ctx=[npx.cpu(1), npx.cpu(2)])
    assert fresh[0].weight.list_ctx() == [npx.cpu(1), npx.cpu(2)]
    net[0].weight.set_data(np.zeros((3, 4)))
    net.load_parameters(tmp_path / "f", ctx=CPUS)
    assert [float(x.sum()) for x in net[0].weight.list_data()] == [12, 12]
    with npx.cpu(1):
        here = chain(nn.Dense(3))
        here.load_parameters(tmp_path / "f")
    assert here[0].weight.list_ctx() == [npx.cpu(1)]


def test_results_live_where_their_first_array_does():
    here, there = np.ones(2), np.ones(2, ctx=CPUS[1])
    results = [there + here, there[0], there[:1], there.sum(), there.copy(), there.detach(), np.exp(there), -there]
    assert [x.ctx for x in results] == [CPUS[1]] * 8 and (here + there).ctx == CPUS[0] == there.as_in_ctx(CPUS[0]).ctx


def trained(contexts, optimizer, steps=4):
    """Return the parameters after some steps on batches of 6, cut up over the contexts."""
    npx.random.seed(3)
    net = chain(nn.Dense(4, activation="tanh"), nn.Dense(3))
    net.initialize(init.Normal(0.5), ctx=contexts)
    trainer = gluon.Trainer(net.collect_params(), optimizer, {"learning_rate": 0.1, "wd": 0.01})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    X, y = np.random.normal(size=(6, 5)), np.array([0, 1, 2, 0, 1, 2])
    for _ in range(steps):
        parts = [gluon.utils.split_and_load(whole, contexts) for whole in (X, y)]
        with autograd.record():
            losses = [loss(net(Xi), yi) for Xi, yi in zip(*parts, strict=True)]
        for each in losses:
            each.backward()
        trainer.step(6)
    return net.collect_params()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_contexts_train_like_one(optimizer):
    one, two = trained([npx.cpu()], optimizer), trained(CPUS, optimizer)
    for p, q in zip(one.values(), two.values(), strict=True):
        for x in q.list_data():
            assert x.asnumpy() == pytest.approx(p.data().asnumpy(), rel=1e-4, abs=1e-6)
        assert [x.ctx for x in q.list_data()] == CPUS


def x_on_two(**options):
    p = gluon.Parameter("x", shape=(10,))
    p.initialize(ctx=CPUS, init="zeros")
    return p, gluon.Trainer([p], "sgd", {"learning_rate": 1.0, "momentum": 0.5}, **options)


def backward(p, f):
    with autograd.record():
        values = [f(i, w) for i, w in enumerate(p.list_data())]
    for y in values:
        y.backward()


def test_step_adds_gradients_up(tmp_path):
    p, trainer = x_on_two()
    backward(p, lambda i, w: w + 1)
    trainer.step(1)
    assert (p.data(CPUS[1]) == -2).all()
    p.lr_mult = 0.5
    backward(p, lambda i, w: w + 1)
    trainer.step(1)
    assert (p.data(CPUS[1]) == -4).all() and (p.data(CPUS[0]) == -4).all()
    trainer.save_states(tmp_path / "s")
    trainer.load_states(tmp_path / "s")
    backward(p, lambda i, w: w + 1)
    trainer.step(1)
    assert (p.data(CPUS[1]) == -6).all()  # v = 0.5 (-2) - 0.5 * 2


def test_update_after_allreduce():
    p, trainer = x_on_two(update_on_kvstore=False)
    backward(p, lambda i, w: i * w)
    assert [float(g[0]) for g in p.list_grad()] == [0, 1]
    trainer.allreduce_grads()
    assert [float(g[0]) for g in p.list_grad()] == [1, 1]
    trainer.update(1)
    assert [float(x[0]) for x in p.list_data()] == [-1, -1]


def test_stale_context_is_named():
    p, trainer = x_on_two()
    backward(p, lambda i, w: w + 1)
    trainer.step(1)
    p.set_data(np.zeros(10))
    with autograd.record():
        y = p.data(CPUS[0]) + 1
    y.backward()
    with pytest.raises(UserWarning, match=r"`x` on context cpu\(1\)"):
        trainer.step(1)
    assert [float(x[0]) for x in p.list_data()] == [0, 0]
    trainer.step(1, ignore_stale_grad=True)  # then the fresh gradient alone moves both
    assert [float(x[0]) for x in p.list_data()] == [-2, -2]  # v = 0.5 (-2) - 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.random.normal(size=(2, 3)),
        lambda: np.random.uniform(np.zeros((2, 3)), ctx=npx.cpu()),
        lambda: np.zeros((2, 3), ctx=npx.cpu(0)),
        lambda: np.ones((2, 3)).copyto(npx.cpu()),
        lambda: npx.topk(np.ones((2, 3)), k=3, ret_typ="mask"),
    ],
)
def test_a_ready_layer_takes_the_short_way(make, monkeypatch):
    """Arrays on the default context keep none, so one comparison by identity tells that parameters are at hand."""
    net = nn.Dense(1, in_units=3)
    net.initialize()
    monkeypatch.setattr(nn.Dense, "_first_forward", lambda *args: pytest.fail("the long way"))
    assert net(make()).ctx == npx.cpu(0)


def test_a_device_has_a_whole_number():
    for wrong in ("a", 1.5, None, True):
        with pytest.raises(TypeError, match=r"whole number, got cpu\("):
            npx.cpu(wrong)
