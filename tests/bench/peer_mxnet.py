"""The workloads in Apache MXNet 1.9: imperative, or hybridized with static memory."""

import os

import mxnet as mx  # type: ignore[import-not-found]
from mxnet import autograd, gluon, np, npx  # type: ignore[import-not-found]
from mxnet.gluon import nn  # type: ignore[import-not-found]

from tests.bench.workloads import Task, replacing

npx.set_np()


class Chain(gluon.HybridBlock):
    """The gelu-like chain as a block."""

    def hybrid_forward(self, F, x):
        return x * 0.5 * (1 + F.np.tanh(0.79788456 * (x + 0.044715 * x**3)))


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

    def ready(self, block):
        """Hybridize if that is the mode."""
        if self.hybrid:
            block.hybridize(static_alloc=True, static_shape=True)
        return block

    def mlp(self, layers):
        """A chain of dense layers with relu between them."""
        net = nn.HybridSequential()
        for i, (w, _) in enumerate(layers):
            net.add(nn.Dense(len(w), activation="relu" if i < len(layers) - 1 else None, in_units=w.shape[1]))
        net.initialize()
        for layer, (w, b) in zip(net, layers, strict=True):
            layer.weight.set_data(np.array(w))
            layer.bias.set_data(np.array(b))
        return self.ready(net)

    def forward(self, net, X):
        """net(X), outside record(), awaited."""
        return Task(lambda: net(X).wait_to_read(), lambda: [float(net(X).sum())])

    def gradient(self, net, X):
        """net(X) and its gradient."""

        def call():
            with autograd.record():
                y = net(X)
            y.backward()
            mx.nd.waitall()

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
            mx.nd.waitall()

        def value():
            before = net[0].weight.data().asnumpy()
            for _ in range(3):
                call()
            change = net[0].weight.data().asnumpy() - before
            return [float(loss(net(X), y).mean()), float(abs(change).sum()) / self.lr]

        return Task(call, value)

    def tree(self, kind, n):
        """Build, parameters or text of a tree of n layers."""
        net = nested(n)
        calls = {"build": lambda: nested(n), "params": net.collect_params, "repr": lambda: repr(net)}
        value = lambda: [len(net.collect_params().keys()), repr(net).count("Dense(")]
        return None if self.hybrid else Task(calls[kind], value)

    def chain(self, x):
        """A chain of element-wise operations."""
        block = self.ready(Chain())
        return Task(lambda: block(x).wait_to_read(), lambda: [float(np.abs(block(x)).mean())])

    def files(self, how, x, folder):
        """Save and load; there is no checksum to be had."""
        if self.hybrid or how.checksum or how.safetensors:
            return None
        name = os.path.join(folder, "x.params")

        def save():
            with replacing(name, how.sync) as file:
                npx.save(file, x)

        def load():
            found = npx.load(name)
            mx.nd.waitall()
            return found

        save()
        return Task(save if how.act == "save" else load, lambda: [float(load()[0][-1])])

    def first(self):
        """The first gradient of a fresh process."""
        net = nn.HybridSequential()
        net.add(nn.Dense(256, activation="relu"), nn.Dense(10))
        net.initialize()
        self.ready(net)
        X = np.random.uniform(size=(2, 20))
        net(X).wait_to_read()
        self.gradient(net, X).call()
