"""Nets that the tests of views look at."""

from d2lblocks import np, npx
from d2lblocks.gluon import nn


def mlp(called=False, size=20):
    """The chapter's two layers, as made or after a first batch."""
    net = nn.Sequential(prefix="net_")
    with net.name_scope():
        net.add(nn.Dense(256, activation="relu"), nn.Dense(10))
    if called:
        npx.random.seed(0)
        net.initialize()
        net(np.ones((2, size)))
    return net


def tied():
    """Two layers with one set of parameters, a third alone."""
    net = nn.Sequential(prefix="net_")
    with net.name_scope():
        one = nn.Dense(3, in_units=3)
        net.add(one, nn.Dense(3, in_units=3, params=one.params), nn.Dense(3, in_units=3))
    return net


class Branching(nn.Block):
    """One layer that forward reaches, one that it does not, one parameter of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.scale = self.params.get("scale", shape=(1,))
            self.used, self.idle = nn.Dense(4), nn.Dense(5)
            self.half = self.params.get_constant("half", 0.5)
            self.params.get("loose", shape=(2, 2))

    def forward(self, x):
        return self.used(x) * self.scale.data()


class Wrapped(nn.Block):
    """Children by number but without net[0]."""

    def __init__(self, *blocks, **kwargs):
        super().__init__(**kwargs)
        for block in blocks:
            self.register_child(block)

    def forward(self, x):
        for block in self._children.values():
            x = block(x)
        return x


def deep(blocks=4, layers=3):
    """Sequentials in a Sequential, all alike."""
    net = nn.Sequential(prefix="net_")
    with net.name_scope():
        for _ in range(blocks):
            part = nn.Sequential()
            with part.name_scope():
                part.add(*[nn.Dense(4, in_units=4) for _ in range(layers)])
            net.add(part)
    return net
