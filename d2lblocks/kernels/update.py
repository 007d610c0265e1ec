"""One step of an optimizer in one pass over the numbers of a parameter: every number is read and written once."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.kernels._jit import Flat, Kernel, kernel


def step(rule: Kernel, arrays: tuple, *numbers: float) -> None:
    """Run a rule over arrays of one shape; those that are not float32, or not laid out alike in a row, go by NumPy."""
    rule.run(*arrays, *numbers)


def prepared(w: Any, g: Any, rescale: float, clip: float, wd: float) -> Any:
    """Return rescale g, clipped to [-clip, clip] (0: not at all), plus wd w, as a new array."""
    g = g * w.dtype.type(rescale)
    if clip > 0:
        onp.clip(g, -clip, clip, out=g)
    if wd:
        g += w.dtype.type(wd) * w
    return g


def _sgd(w, g, lr, rescale, clip, wd):
    w -= w.dtype.type(lr) * prepared(w, g, rescale, clip, wd)


@kernel(_sgd, exact=True)
def sgd(w: Flat, g: Flat, lr: float, rescale: float, clip: float, wd: float):
    """w -= lr g: (n,), (n,)."""
    real = w.dtype.type
    lr, rescale, clip, wd = real(lr), real(rescale), real(clip), real(wd)
    for i in range(w.size):
        s = g[i] * rescale
        if clip > 0:
            s = -clip if s < -clip else clip if s > clip else s
        if wd != 0:
            s = s + wd * w[i]
        w[i] = w[i] - lr * s


def _momentum(w, g, v, lr, momentum, rescale, clip, wd):
    v *= w.dtype.type(momentum)
    v -= w.dtype.type(lr) * prepared(w, g, rescale, clip, wd)
    w += v


@kernel(_momentum, exact=True)
def momentum(w: Flat, g: Flat, v: Flat, lr: float, momentum: float, rescale: float, clip: float, wd: float):
    """v = momentum v - lr g, w += v: (n,) each."""
    real = w.dtype.type
    lr, momentum, rescale, clip, wd = real(lr), real(momentum), real(rescale), real(clip), real(wd)
    for i in range(w.size):
        s = g[i] * rescale
        if clip > 0:
            s = -clip if s < -clip else clip if s > clip else s
        if wd != 0:
            s = s + wd * w[i]
        v[i] = v[i] * momentum - lr * s
        w[i] = w[i] + v[i]


def _adam(w, g, m, v, eta, beta1, beta2, epsilon, rescale, clip, wd):
    real = w.dtype.type
    s = prepared(w, g, rescale, clip, wd)
    m *= real(beta1)
    m += real(1 - beta1) * s
    v *= real(beta2)
    v += real(1 - beta2) * (s * s)
    w -= real(eta) * m / (onp.sqrt(v) + real(epsilon))


@kernel(_adam, exact=True)
def adam(w: Flat, g: Flat, m: Flat, v: Flat, eta: float, beta1: float, beta2: float, epsilon: float, rescale: float,
         clip: float, wd: float):  # fmt: skip
    """m, v: running means of g and g²; w -= eta m / (sqrt(v) + epsilon): (n,) each."""
    real = w.dtype.type
    new1, new2 = real(1 - beta1), real(1 - beta2)
    eta, old1, old2, epsilon = real(eta), real(beta1), real(beta2), real(epsilon)
    rescale, clip, wd = real(rescale), real(clip), real(wd)
    for i in range(w.size):
        s = g[i] * rescale
        if clip > 0:
            s = -clip if s < -clip else clip if s > clip else s
        if wd != 0:
            s = s + wd * w[i]
        m[i] = m[i] * old1 + new1 * s
        v[i] = v[i] * old2 + new2 * (s * s)
        w[i] = w[i] - eta * m[i] / (onp.sqrt(v[i]) + epsilon)
