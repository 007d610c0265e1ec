"""Copies of nets, parameters and arrays share nothing."""

import copy
import pickle

import pytest

from d2lblocks import gluon, init, np, npx
from d2lblocks.gluon import nn
from tests.errors.rows import covers, net_of

X = np.ones((2, 3))


def nets():
    shared = nn.Dense(3)
    ready = net_of(nn.Dense(4, activation="relu"), nn.Dropout(0.5), nn.Dense(1))
    ready(X)
    return [
        ready, net_of(nn.Dense(2)), net_of(nn.Dense(2), ready=False), net_of(nn.BatchNorm(), nn.Dense(2), hybrid=True),
        net_of(nn.Lambda("tanh"), nn.Lambda("relu"), nn.Dense(2)), net_of(nn.HybridLambda("tanh"), hybrid=True),
        net_of(shared, shared), net_of(shared, nn.Dense(3, params=shared.params)),
    ]  # fmt: skip


@covers("B23")
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize("net", nets(), ids=range(8))
def test_copies_of_nets(copied, net):
    twin = copied(net)
    mine, theirs = net.collect_params(), twin.collect_params()
    assert list(mine) == list(theirs) and [p.state for p in mine.values()] == [p.state for p in theirs.values()]
    assert not {id(p) for p in mine.values()} & {id(p) for p in theirs.values()}
    for name in mine:
        if mine[name].state == "ready":
            assert (mine[name].data() == theirs[name].data()).all()
            theirs[name].data()[:] = 7
            assert not (mine[name].data() == 7).any()


@covers("B23")
@pytest.mark.parametrize("thing", [gluon.Parameter("w", shape=2), gluon.Constant("c", [1, 2]), nn.Dense(2).params, X,
                                   np.zeros((0, 2)), init.Xavier(), npx.relu, npx.cpu(), gluon.loss.L2Loss()])  # fmt: skip
def test_copies_of_everything_else(thing):
    for twin in (copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert type(twin) is type(thing) and (repr(twin) == repr(thing) or "object at" in repr(thing))


@covers("B23")
@pytest.mark.filterwarnings("ignore:All children of this Sequential")
def test_copies_of_deep_and_wide_nets():
    deep = nn.Dense(2, in_units=2)
    for _ in range(300):
        deep = net_of(deep, ready=False)
    wide = net_of(*[nn.Dense(1, in_units=1) for _ in range(1000)])
    deep.initialize()
    for net, x in ((deep, np.ones((1, 2))), (wide, np.ones((1, 1)))):
        for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert (twin(x) == net(x)).all() and repr(twin) == repr(net)
    assert repr(deep).count("Sequential(") == 300 and deep._repr_html_()
    for action in (deep.hybridize, lambda: deep.cast("float64"), lambda: deep.apply(lambda block: None)):
        action()
    assert deep(np.ones((1, 2), dtype="float64")).dtype == "float64"


@covers("B23")
def test_copies_of_blocks_that_know_the_net_they_are_in():
    net = net_of(nn.Dense(2, in_units=2), net_of(nn.Dense(2, in_units=2), ready=False))
    net[1].boss = [net]
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), copy.copy(net)):
        assert set(vars(twin)) == set(vars(net)) and twin(np.ones((1, 2))).shape == (1, 2)
        assert (twin[1].boss[0] is twin) == (twin[1] is not net[1])
