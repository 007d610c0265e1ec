"""The workloads in d2lblocks: eager, or hybridized."""

import contextlib
import os
from typing import Any
from unittest import mock

from d2lblocks import autograd, gluon, io, np
from d2lblocks.gluon import nn
from d2lblocks.kernels import _jit
from tests.bench.workloads import Task


class Chain(gluon.HybridBlock):
    """The gelu-like chain as a block."""

    def forward(self, x):
        return x * 0.5 * (1 + np.tanh(0.79788456 * (x + 0.044715 * x**3)))


def nested(n):
    """A tree of n layers, ten to a branch."""
    net = nn.Sequential()
    with net.name_scope():
        net.add(*[nn.Dense(32, in_units=32) if n <= 10 else nested(n // 10) for _ in range(min(n, 10))])
    return net


class Peer:
    """Builds the workloads."""

    def __init__(self, mode, lr):
        self.hybrid, self.lr, self.array, self.labels = mode == "hybrid", lr, np.array, np.array

    def warm(self):
        """Compile the kernels before anything is timed, where that has not been done."""
        _jit.ready()

    def ready(self, block):
        """Hybridize if that is the mode."""
        if self.hybrid:
            block.hybridize()
        return block

    def mlp(self, layers):
        """A chain of dense layers with relu between them."""
        net = nn.HybridSequential() if self.hybrid else nn.Sequential()
        for i, (w, _) in enumerate(layers):
            net.add(nn.Dense(len(w), activation="relu" if i < len(layers) - 1 else None, in_units=w.shape[1]))
        net.initialize()
        for layer, (w, b) in zip(net, layers, strict=True):
            layer.weight.set_data(w)
            layer.bias.set_data(b)
        return self.ready(net)

    def forward(self, net, X):
        """net(X), outside record()."""
        return Task(lambda: net(X), lambda: [float(net(X).sum())])

    def gradient(self, net, X):
        """net(X) and its gradient."""

        def call():
            with autograd.record():
                y = net(X)
            y.backward()

        def value():
            call()
            return [float(net[0].weight.grad().sum())]

        return Task(call, value)

    def step(self, net, X, y):
        """A training step: softmax cross-entropy, gradient, SGD."""
        loss = self.ready(gluon.loss.SoftmaxCrossEntropyLoss())
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": self.lr})

        def call():
            with autograd.record():
                l = loss(net(X), y)  # noqa: E741
            l.backward()
            trainer.step(len(X))

        def value():
            before = net[0].weight.data().asnumpy().copy()
            for _ in range(3):
                call()
            change = net[0].weight.data().asnumpy() - before
            return [float(loss(net(X), y).mean()), float(abs(change).sum()) / self.lr]

        return Task(call, value)

    def tree(self, kind, n):
        """Build, parameters or text of a tree of n layers."""
        net = nested(n)
        calls = {"build": lambda: nested(n), "params": net.collect_params, "repr": lambda: repr(net)}
        return (
            None
            if self.hybrid
            else Task(calls[kind], lambda: [len(net.collect_params().keys()), repr(net).count("Dense(")])
        )

    def chain(self, x):
        """A chain of element-wise operations."""
        block = self.ready(Chain())
        return Task(lambda: block(x), lambda: [float(abs(block(x)).mean())])

    def files(self, how, x, folder):
        """Save and load."""
        if self.hybrid:
            return None
        name = os.path.join(folder, "x.safetensors" if how.safetensors else "x.params")
        read: Any = io.load  # a dict or a list
        load = lambda: read(name)["x"]

        def save():
            with contextlib.nullcontext() if how.sync else mock.patch("os.fsync"):
                io.save(name, {"x": x}, checksum=how.checksum)

        save()
        return Task(save if how.act == "save" else load, lambda: [float(load()[-1])])

    def first(self):
        """The first gradient of a fresh process."""
        net = nn.HybridSequential() if self.hybrid else nn.Sequential()
        net.add(nn.Dense(256, activation="relu"), nn.Dense(10))
        net.initialize()
        self.ready(net)
        X = np.random.uniform(size=(2, 20))
        net(X)
        self.gradient(net, X).call()
