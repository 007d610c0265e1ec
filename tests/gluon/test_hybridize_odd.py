"""Hybridized forwards with something odd in them: values nobody uses, other shapes of the same numbers, comparisons."""

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, initializer, np, npx
from d2lblocks.gluon import nn
from tests.gluon.twins import needs_programs, programs, same

pytestmark = needs_programs


class Odd(gluon.HybridBlock):
    def __init__(self, what):
        super().__init__()
        self._what = what
        self.dense = nn.Dense(64, in_units=8, activation="tanh")
        self.v = self.params.get("v", shape=(8,))

    def hybrid_forward(self, F, x, v):
        return self._what(self, x, v)


def unused(net, x, v):
    np.log(x * 0)  # its gradient would be 0 / 0
    return x * v


CASES = {
    "dense, then number by number": lambda net, x, v: net.dense(x) * 2 + 1,
    "a result that nobody uses": unused,
    "compared only": lambda net, x, v: x * (v > 0),
    "two shapes of one result": lambda net, x, v: (x * v, (x * v).reshape(-1)),
    "a result and its other shape": lambda net, x, v: (lambda y: (y, y.reshape(-1)))(x * v),
    "a weight in other shape": lambda net, x, v: net.dense.weight.data().reshape(-1)[:8] * x + v,
    "a weight in other shape, number by number": lambda net, x, v: (
        np.exp(net.dense.weight.data().reshape(8, 64)) + v[0]
    ),
    "an input in other shape": lambda net, x, v: (x.reshape(-1) * 3).reshape(x.shape) * v,
}


@pytest.mark.parametrize("what", CASES.values(), ids=CASES)
@pytest.mark.parametrize("seen", [False, True])
def test_odd_forwards(what, seen):
    npx.random.seed(3)
    net = Odd(what)
    net.initialize(initializer.Normal(0.5))
    x = np.random.normal(size=(40, 8))
    x.attach_grad()
    net.dense(x), net(x)  # the first calls tell the views what shapes there are
    held = [p.grad() for p in net.collect_params().values()] if seen else []
    results = []
    for hybrid in (False, True):
        net.hybridize(hybrid)
        for p in (*net.collect_params().values(), None):
            leaf = x._node if p is None else p.data()._node
            leaf.grad[...], leaf.fresh = 7, False
        for _ in range(2):
            values = net(x)
            with autograd.record():
                outs = net(x)
                outs = outs if isinstance(outs, tuple) else (outs,)
                total = sum((y * (k + 2)).sum() for k, y in enumerate(outs))
            total.backward()
        leaves = [x._node, *[p.data()._node for p in net.collect_params().values()]]
        values = values if isinstance(values, tuple) else (values,)
        results.append([*[v.asnumpy() for v in values], *[leaf.grad.copy() for leaf in leaves]])
        results[-1].append(onp.array([leaf.fresh for leaf in leaves], "float32"))
    same(*results, steps=4)
    programs(net)
    del held
