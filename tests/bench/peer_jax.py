"""The workloads in JAX, compiled by jit."""

import os

import jax  # type: ignore[import-not-found]
import jax.numpy as jnp  # type: ignore[import-not-found]
import numpy as onp

from tests.bench.workloads import Task, replacing


def net(params, X):
    """A chain of dense layers with relu between them."""
    for w, b in params[:-1]:
        X = jnp.maximum(X @ w + b, 0)
    w, b = params[-1]
    return X @ w + b


def cross_entropy(params, X, y):
    """The mean softmax cross-entropy."""
    return -jnp.take_along_axis(jax.nn.log_softmax(net(params, X)), y[:, None], 1).mean()


class Peer:
    """Builds the workloads."""

    def __init__(self, mode, lr):
        self.lr, self.array, self.labels = lr, jnp.array, jnp.array

    def mlp(self, layers):
        """The parameters, weights as (inputs, units)."""
        return [(jnp.array(w.T), jnp.array(b)) for w, b in layers]

    def forward(self, params, X):
        """net(X)."""
        f = jax.jit(net)
        return Task(lambda: f(params, X).block_until_ready(), lambda: [float(f(params, X).sum())])

    def gradient(self, params, X):
        """net(X) and its gradient."""
        f = jax.jit(jax.grad(lambda params, X: net(params, X).sum()))
        return Task(lambda: jax.block_until_ready(f(params, X)), lambda: [float(f(params, X)[0][0].sum())])

    def step(self, params, X, y):
        """A training step: softmax cross-entropy, gradient, SGD; the old parameters' memory is used for the new."""

        def update(params, X, y):
            loss, grads = jax.value_and_grad(cross_entropy)(params, X, y)
            return loss, jax.tree.map(lambda p, g: p - self.lr * g, params, grads)

        state, f, loss = {"params": params}, jax.jit(update, donate_argnums=0), jax.jit(cross_entropy)

        def call():
            l, state["params"] = f(state["params"], X, y)  # noqa: E741
            jax.block_until_ready(state["params"])
            return l

        def value():
            before = onp.array(state["params"][0][0])
            for _ in range(3):
                call()
            change = onp.array(state["params"][0][0]) - before
            return [float(loss(state["params"], X, y)), float(abs(change).sum()) / self.lr]

        return Task(call, value)

    def chain(self, x):
        """A chain of element-wise operations."""
        f = jax.jit(lambda x: x * 0.5 * (1 + jnp.tanh(0.79788456 * (x + 0.044715 * x**3))))
        return Task(lambda: f(x).block_until_ready(), lambda: [float(abs(f(x)).mean())])

    def files(self, how, x, folder):
        """Save and load, by NumPy: .npz has checksums, .npy has none."""
        if how.safetensors:
            return None
        name = os.path.join(folder, "x.npz" if how.checksum else "x.npy")
        load = lambda: jnp.asarray(jnp.load(name)["x"] if how.checksum else jnp.load(name)).block_until_ready()

        def save():
            with replacing(name, how.sync) as temporary, open(temporary, "wb") as file:
                onp.savez(file, x=x) if how.checksum else onp.save(file, x)

        save()
        return Task(save if how.act == "save" else load, lambda: [float(load()[-1])])

    def first(self):
        """The first gradient of a fresh process."""
        rng = onp.random.default_rng()
        params = self.mlp([(rng.random((m, k), "f"), onp.zeros(m, "f")) for k, m in ((20, 256), (256, 10))])
        X = jnp.array(rng.random((2, 20), "f"))
        self.forward(params, X).call()
        self.gradient(params, X).call()
