"""Softmax cross-entropy on raw arrays: the loss and the softmax out of one pass over the scores, the gradient from both."""

from __future__ import annotations

import math

import numpy as onp

from d2lblocks.kernels._jit import Integers, Matrix, Vector, kernel
from d2lblocks.kernels.elementwise import exp

FEW = 16384  # so many scores make NumPy's exponential, several at a time, faster than a loop


def forward(scores: onp.ndarray, labels: onp.ndarray) -> tuple[onp.ndarray, onp.ndarray]:
    """Return log(sum(exp(s))) - s[label] and softmax(s), row by row: (n, k), (n,) of int64 -> (n,), (n, k)."""
    loss, p = onp.empty(len(scores), scores.dtype), onp.empty(scores.shape, scores.dtype)
    if scores.size:
        (forward_loop.run if _few(scores, labels) else _forward)(scores, labels, loss, p)
    return loss, p


def backward(g: onp.ndarray, labels: onp.ndarray, p: onp.ndarray) -> onp.ndarray:
    """Return g (softmax(s) - onehot(label)): (n,), (n,), (n, k) -> (n, k)."""
    ds = onp.empty_like(p)
    (backward_loop.run if _few(p, labels) and g.flags.carray and g.dtype == p.dtype else _backward)(g, labels, p, ds)
    return ds


def _few(scores: onp.ndarray, labels: onp.ndarray) -> bool:
    return 0 < scores.size <= FEW and scores.dtype == onp.float32 and scores.flags.carray and labels.flags.carray


def _forward(scores, labels, loss, p):
    onp.subtract(scores, scores.max(1, keepdims=True), out=p)
    loss[...] = p[onp.arange(len(p)), labels]
    onp.exp(p, out=p)
    total = p.sum(1)
    onp.subtract(onp.log(total), loss, out=loss)
    p /= total[:, None]


@kernel(_forward)
def forward_loop(scores: Matrix, labels: Integers, loss: Vector, p: Matrix):
    """loss = log(sum(exp(s))) - s[label], p = softmax(s); the largest score is taken off first, so nothing overflows."""
    n, k = scores.shape
    for i in range(n):
        top = scores[i, 0]
        for j in range(1, k):
            if scores[i, j] > top or scores[i, j] != scores[i, j]:  # NaN wins, so that it shows
                top = scores[i, j]
        total = scores.dtype.type(0)
        for j in range(k):
            p[i, j] = exp(scores[i, j] - top)
        for j in range(k):
            total += p[i, j]
        loss[i] = math.log(total) - (scores[i, labels[i]] - top)
        for j in range(k):
            p[i, j] /= total


def _backward(g, labels, p, ds):
    onp.multiply(p, g[:, None], out=ds)
    ds[onp.arange(len(p)), labels] -= g


@kernel(_backward)
def backward_loop(g: Vector, labels: Integers, p: Matrix, ds: Matrix):
    """ds = g (p - onehot(label)), row by row."""
    n, k = p.shape
    for i in range(n):
        for j in range(k):
            ds[i, j] = p[i, j] * g[i]
        ds[i, labels[i]] -= g[i]
