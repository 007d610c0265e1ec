"""Run the book's nets in order and print their figures; a test starts this in a fresh process."""

from d2lblocks import np, npx
from d2lblocks.gluon import nn


class MLP(nn.Block):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = nn.Dense(256, activation="relu")
        self.output = nn.Dense(10)

    def forward(self, x):
        return self.output(self.hidden(x))


class MySequential(nn.Block):
    def add(self, block):
        self._children[block.name] = block

    def forward(self, x):
        for block in self._children.values():
            x = block(x)
        return x


class FancyMLP(nn.Block):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rand_weight = self.params.get_constant("rand_weight", np.random.uniform(size=(20, 20)))
        self.dense = nn.Dense(20, activation="relu")

    def forward(self, x):
        x = self.dense(x)
        x = npx.relu(np.dot(x, self.rand_weight.data()) + 1)
        x = self.dense(x)
        while np.abs(x).sum() > 1:
            x /= 2
        if np.abs(x).sum() < 0.8:
            x *= 10
        return x.sum()


class NestMLP(nn.Block):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.net = nn.Sequential()
        self.net.add(nn.Dense(64, activation="relu"), nn.Dense(32, activation="relu"))
        self.dense = nn.Dense(16, activation="relu")

    def forward(self, x):
        return self.dense(self.net(x))


def show(name, values):
    print(f"{name}:", *values.reshape(-1).tolist())


def two_layers(net):
    net.add(nn.Dense(256, activation="relu"))
    net.add(nn.Dense(10))
    net.initialize()
    return net


def main():
    net = two_layers(nn.Sequential())
    X = np.random.uniform(size=(2, 20))
    show("sequential", net(X)[0])
    show("weight", net[0].weight.data()[0, :3])
    mlp = MLP()
    mlp.initialize()
    show("mlp", mlp(X)[0, :3])
    show("mysequential", two_layers(MySequential())(X)[0, :3])
    fancy = FancyMLP()
    fancy.initialize()
    show("fancy", fancy(X))
    chimera = nn.Sequential()
    chimera.add(NestMLP(), nn.Dense(20), FancyMLP())
    chimera.initialize()
    show("chimera", chimera(X))


main()
