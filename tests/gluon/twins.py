"""Nets and their hybridized copies, trained side by side."""

import copy

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, initializer, np
from d2lblocks.gluon import nn
from d2lblocks.gluon.tracing import AS_WRITTEN
from d2lblocks.kernels.program import walk

needs_programs = pytest.mark.skipif(not walk.ready(), reason="programs need machine code")
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
