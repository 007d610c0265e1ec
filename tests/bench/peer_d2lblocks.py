"""The workloads in d2lblocks."""

from d2lblocks import autograd, gluon, np
from d2lblocks.gluon import nn

array = labels = np.array


def mlp(layers):
    """A chain of dense layers with relu between them."""
    net = nn.Sequential()
    for i, (w, _) in enumerate(layers):
        net.add(nn.Dense(len(w), activation="relu" if i < len(layers) - 1 else None, in_units=w.shape[1]))
    net.initialize()
    for layer, (w, b) in zip(net, layers, strict=True):
        layer.weight.set_data(w)
        layer.bias.set_data(b)
    return net


def forward(net, X):
    """net(X), outside record()."""
    return lambda: net(X), lambda: float(net(X).sum())


def gradient(net, X):
    """net(X) and its gradient."""

    def call():
        with autograd.record():
            y = net(X)
        y.backward()

    def value():
        call()
        return float(net[0].weight.grad().sum())

    return call, value


def step(net, X, y):
    """A training step: softmax cross-entropy, gradient, SGD."""
    loss, trainer = (
        gluon.loss.SoftmaxCrossEntropyLoss(),
        gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1e-3}),
    )

    def call():
        with autograd.record():
            l = loss(net(X), y)  # noqa: E741
        l.backward()
        trainer.step(len(X))

    return call, lambda: float(loss(net(X), y).mean())


def first():
    """The first gradient of a fresh process."""
    net = nn.Sequential()
    net.add(nn.Dense(256, activation="relu"), nn.Dense(10))
    net.initialize()
    gradient(net, np.random.uniform(size=(2, 20)))[0]()
