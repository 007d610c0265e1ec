"""The workloads in NumPy as an expert writes them: all memory made in advance, every result put in its place."""

import importlib.util
import os

import numpy as np

from tests.bench.workloads import Task, replacing


class Net:
    """A chain of dense layers with relu between them, weights as (inputs, units)."""

    def __init__(self, layers):
        self.w = [np.ascontiguousarray(w.T) for w, _ in layers]
        self.b = [b.copy() for _, b in layers]
        self.dw, self.db = [np.empty_like(w) for w in self.w], [np.empty_like(b) for b in self.b]

    def allocate(self, batch):
        """Make room for the outputs of each layer and their gradients."""
        self.out = [np.empty((batch, len(b)), "float32") for b in self.b]
        self.dout = [np.empty_like(y) for y in self.out]
        self.open = [np.empty(y.shape, bool) for y in self.out]
        self.wide = [w.T for w in self.w]

    def forward(self, x):
        """Return net(x)."""
        last = len(self.w) - 1
        for i, (w, b, y) in enumerate(zip(self.w, self.b, self.out, strict=True)):
            np.dot(x, w, y)
            np.add(y, b, y)
            if i < last:
                np.maximum(y, 0, y)
            x = y
        return x

    def backward(self, x):
        """Fill in the gradients, given that of the last output."""
        for i in range(len(self.w) - 1, -1, -1):
            dy = self.dout[i]
            np.dot((self.out[i - 1] if i else x).T, dy, self.dw[i])
            np.add.reduce(dy, 0, None, self.db[i])
            if i:
                np.dot(dy, self.wide[i], self.dout[i - 1])
                np.greater(self.out[i - 1], 0, self.open[i - 1])
                np.multiply(self.dout[i - 1], self.open[i - 1], self.dout[i - 1])


class Peer:
    """Builds the workloads."""

    def __init__(self, mode, lr):
        self.lr, self.array, self.labels, self.mlp = lr, np.array, np.array, Net

    def forward(self, net, X):
        """net(X)."""
        net.allocate(len(X))
        return Task(lambda: net.forward(X), lambda: [float(net.forward(X).sum())])

    def gradient(self, net, X):
        """net(X) and its gradient."""
        net.allocate(len(X))
        net.dout[-1][:] = 1

        def call():
            net.forward(X)
            net.backward(X)

        def value():
            call()
            return [float(net.dw[0].sum())]

        return Task(call, value)

    def step(self, net, X, y):
        """A training step: softmax cross-entropy, gradient, SGD."""
        net.allocate(len(X))
        n, rows, p, side = len(X), np.arange(len(X)), net.dout[-1], np.empty((len(X), 1), "float32")
        pairs, rate = [*zip(net.w, net.dw, strict=True), *zip(net.b, net.db, strict=True)], np.float32(self.lr)

        def loss():
            z = net.forward(X)
            np.subtract(z, z.max(1, out=side, keepdims=True), p)
            np.exp(p, p)
            np.divide(p, p.sum(1, out=side, keepdims=True), p)
            return p[rows, y]

        def call():
            loss()
            p[rows, y] -= 1
            np.multiply(p, np.float32(1 / n), p)
            net.backward(X)
            for w, dw in pairs:
                np.multiply(dw, rate, dw)
                np.subtract(w, dw, w)

        def value():
            before = net.w[0].copy()
            for _ in range(3):
                call()
            return [float(-np.log(loss()).mean()), float(abs(net.w[0] - before).sum()) / self.lr]

        return Task(call, value)

    def chain(self, x):
        """A chain of element-wise operations, by blocks that stay in the cache."""
        size, out = 16384, np.empty_like(x)
        room = np.empty(size, x.dtype)

        def call():
            for start in range(0, len(x), size):
                a, y = x[start : start + size], out[start : start + size]
                t = room[: len(a)]
                np.multiply(a, a, t)
                np.multiply(t, np.float32(0.79788456 * 0.044715), t)
                np.add(t, np.float32(0.79788456), t)
                np.multiply(t, a, t)
                np.tanh(t, t)
                np.add(t, 1, t)
                np.multiply(t, a, t)
                np.multiply(t, np.float32(0.5), y)
            return out

        return Task(call, lambda: [float(abs(call()).mean())])

    def reference(self, workload):
        """What W7 and W9 are measured by: one product of matrices, one copy."""
        if workload == "W7product":
            a, w, y = (np.ones(shape, "float32") for shape in ((512, 4096), (4096, 4096), (512, 4096)))
            return Task(lambda: np.dot(a, w, y), lambda: [])
        x = np.ones(10_000_000, "float32")
        y = np.empty_like(x)
        return Task(lambda: np.copyto(y, x), lambda: [])

    def files(self, how, x, folder):
        """Save and load: .npz has checksums, .npy has none; or by the package safetensors, if it is there."""
        if how.safetensors:
            if not importlib.util.find_spec("safetensors"):
                return None
            package = importlib.import_module("safetensors.numpy")
            name, write, load = "x.safetensors", lambda file: package.save_file({"x": x}, file), package.load_file
        elif how.checksum:
            name, write, load = "x.npz", lambda file: into(file, np.savez, x=x), np.load
        else:
            name, write, load = "x.npy", lambda file: into(file, np.save, x), lambda file: {"x": np.load(file)}
        name = os.path.join(folder, name)

        def into(file, function, *args, **named):
            with open(file, "wb") as f:
                function(f, *args, **named)

        def save():
            with replacing(name, how.sync) as temporary:
                write(temporary)

        save()
        return Task(save if how.act == "save" else lambda: load(name)["x"], lambda: [float(load(name)["x"][-1])])

    def first(self):
        """The first gradient of a fresh process."""
        rng = np.random.default_rng()
        net = Net([(rng.random((m, k), "f"), np.zeros(m, "f")) for k, m in ((20, 256), (256, 10))])
        self.gradient(net, rng.random((2, 20), "f")).call()
