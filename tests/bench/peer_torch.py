"""The workloads in PyTorch: eager, or by torch.compile."""

import os

import torch  # type: ignore[import-not-found]

from tests.bench.workloads import Task, replacing


def nested(n):
    """A tree of n layers, ten to a branch."""
    return torch.nn.Sequential(*[torch.nn.Linear(32, 32) if n <= 10 else nested(n // 10) for _ in range(min(n, 10))])


class Peer:
    """Builds the workloads."""

    def __init__(self, mode, lr):
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.compile, self.lr, self.array, self.labels = mode == "compile", lr, torch.tensor, torch.tensor

    def ready(self, thing):
        """Compile if that is the mode, for the shapes of this workload alone."""
        if not self.compile:
            return thing
        return torch.compile(thing, dynamic=False)

    def mlp(self, layers):
        """A chain of dense layers with relu between them."""
        if self.compile:
            torch.compiler.reset()
        parts = []
        for i, (w, b) in enumerate(layers):
            layer = torch.nn.Linear(w.shape[1], w.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(w))
                layer.bias.copy_(torch.tensor(b))
            parts += [layer, torch.nn.ReLU()] if i < len(layers) - 1 else [layer]
        return torch.nn.Sequential(*parts)

    def forward(self, net, X):
        """net(X), without a graph."""
        ready = self.ready(net)

        def call():
            with torch.inference_mode():
                return ready(X)

        return Task(call, lambda: [float(call().sum())])

    def gradient(self, net, X):
        """net(X) and its gradient."""
        total = self.ready(lambda X: net(X).sum())

        def call():
            net.zero_grad()
            total(X).backward()

        def value():
            call()
            return [float(net[0].weight.grad.sum())]

        return Task(call, value)

    def step(self, net, X, y):
        """A training step: softmax cross-entropy, gradient, SGD."""
        entropy, trainer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=self.lr)
        loss = self.ready(lambda X, y: entropy(net(X), y))

        def call():
            trainer.zero_grad()
            loss(X, y).backward()
            trainer.step()

        def value():
            before = net[0].weight.detach().clone()
            for _ in range(3):
                call()
            return [float(loss(X, y).detach()), float((net[0].weight.detach() - before).abs().sum()) / self.lr]

        return Task(call, value)

    def tree(self, kind, n):
        """Build, parameters or text of a tree of n layers."""
        net = nested(n)
        params = lambda: dict(net.named_parameters())
        calls = {"build": lambda: nested(n), "params": params, "repr": lambda: repr(net)}
        return None if self.compile else Task(calls[kind], lambda: [len(params()), repr(net).count("Linear(")])

    def chain(self, x):
        """A chain of element-wise operations."""
        function = self.ready(lambda x: x * 0.5 * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x**3))))

        def call():
            with torch.inference_mode():
                return function(x)

        return Task(call, lambda: [float(call().abs().mean())])

    def files(self, how, x, folder):
        """Save and load; the checksums that are written are not looked at in loading."""
        if self.compile or how.safetensors:
            return None
        name = os.path.join(folder, "x.pt")

        def save():
            torch.serialization.set_crc32_options(how.checksum)
            with replacing(name, how.sync) as file:
                torch.save(x, file)

        save()
        return Task(save if how.act == "save" else lambda: torch.load(name), lambda: [float(torch.load(name)[-1])])

    def first(self):
        """The first gradient of a fresh process."""
        net = torch.nn.Sequential(torch.nn.Linear(20, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
        X = torch.rand(2, 20)
        self.forward(net, X).call()
        self.gradient(net, X).call()
