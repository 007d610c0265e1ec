"""Softmax cross-entropy on raw arrays: the loss and the softmax out of one pass over the scores, the gradient from both."""

from __future__ import annotations

import math

import numpy as onp

from d2lblocks.kernels._jit import Integers, Matrix, Vector, kernel
from d2lblocks.kernels.elementwise import exp

FEW = 16384  # so many scores make NumPy's exponential, several at a time, faster than a loop


def forward(scores: onp.ndarray, labels: onp.ndarray) -> tuple[onp.ndarray, onp.ndarray]:
    """Return log(sum(exp(s))) - s[label] and softmax(s), row by row: (n, k), (n,) of int64 -> (n,), (n, k).

    Raises:
        IndexError: a label is no class number below k.
    """
    loss, p = onp.empty(len(scores), scores.dtype), onp.empty(scores.shape, scores.dtype)
    if (scores.size > FEW or not forward_loop.fast(scores, labels, loss, p)) and len(scores):
        _forward(scores, labels, loss, p)
    return loss, p


def backward(g: onp.ndarray, labels: onp.ndarray, p: onp.ndarray) -> onp.ndarray:
    """Return g (softmax(s) - onehot(label)): (n,), (n,), (n, k) -> (n, k)."""
    ds = onp.empty_like(p)
    if p.size > FEW or not backward_loop.fast(g, labels, p, ds):
        _backward(g, labels, p, ds)
    return ds


def _forward(scores, labels, loss, p):
    if labels.min() < 0 or labels.max() >= scores.shape[1]:  # NumPy would count from the end
        raise IndexError("a label is no class")
    onp.subtract(scores, scores.max(1, keepdims=True), out=p)
    loss[...] = p[onp.arange(len(p)), labels]
    onp.exp(p, out=p)
    total = p.sum(1)
    onp.subtract(onp.log(total), loss, out=loss)
    p /= total[:, None]


@kernel(_forward)
def forward_loop(scores: Matrix, labels: Integers, loss: Vector, p: Matrix) -> bool:
    """loss = log(sum(exp(s))) - s[label], p = softmax(s); the largest score is taken off first, so nothing overflows."""
    n, k = scores.shape
    if labels.size != n or loss.size != n or p.shape != (n, k):
        return False
    for i in range(n):
        if labels[i] < 0 or labels[i] >= k:
            return False
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
    return True


def _backward(g, labels, p, ds):
    onp.multiply(p, g[:, None], out=ds)
    ds[onp.arange(len(p)), labels] -= g


@kernel(_backward)
def backward_loop(g: Vector, labels: Integers, p: Matrix, ds: Matrix) -> bool:
    """ds = g (p - onehot(label)), row by row."""
    n, k = p.shape
    if g.size != n or labels.size != n or ds.shape != (n, k):
        return False
    for i in range(n):
        for j in range(k):
            ds[i, j] = p[i, j] * g[i]
        ds[i, labels[i]] -= g[i]
    return True
