"""The workloads in PyTorch, eager."""

import torch  # type: ignore[import-not-found]

torch.set_num_threads(int(__import__("os").environ["OMP_NUM_THREADS"]))
array, labels = torch.tensor, torch.tensor


def mlp(layers):
    """A chain of dense layers with relu between them."""
    parts = []
    for i, (w, b) in enumerate(layers):
        layer = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(w))
            layer.bias.copy_(torch.tensor(b))
        parts += [layer, torch.nn.ReLU()] if i < len(layers) - 1 else [layer]
    return torch.nn.Sequential(*parts)


def forward(net, X):
    """net(X), without a graph."""

    def call():
        with torch.inference_mode():
            return net(X)

    return call, lambda: float(call().sum())


def gradient(net, X):
    """net(X) and its gradient."""

    def call():
        net.zero_grad()
        net(X).sum().backward()

    def value():
        call()
        return float(net[0].weight.grad.sum())

    return call, value


def step(net, X, y):
    """A training step: softmax cross-entropy, gradient, SGD."""
    loss, trainer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=1e-3)

    def call():
        trainer.zero_grad()
        loss(net(X), y).backward()
        trainer.step()

    return call, lambda: float(loss(net(X), y))


def first():
    """The first gradient of a fresh process."""
    net = torch.nn.Sequential(torch.nn.Linear(20, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    gradient(net, torch.rand(2, 20))[0]()
