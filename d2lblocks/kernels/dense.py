"""A fully connected layer on raw arrays: y = x w + b and its gradients, by a loop on few numbers, by BLAS on many.

Here w is (k, m), inputs times units: the transpose of a layer's weight, whose columns lie next to each other in memory.
Then the innermost loops run over neighbours, and neither product needs a transposed copy.
"""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.kernels._jit import kernel

FEW = 1024  # so many numbers of x make BLAS faster than a loop, whatever the number of units
WIDE = 32  # units from which the innermost loop of `backward_loop` is long enough to pay
NONE = onp.zeros(0, onp.float32)  # stands for a bias that is not there


def forward(x: onp.ndarray, w: onp.ndarray, b: onp.ndarray | None, relu: bool) -> onp.ndarray:
    """Return x w + b, with 0 for negative numbers if `relu`: (n, k), (k, m), (m,) -> (n, m)."""
    m = w.shape[1]
    b = NONE if b is None else b
    if x.shape[1] != w.shape[0] or (b is not NONE and b.shape != (m,)):  # a loop would read past the end of an array
        raise ValueError(f"x {x.shape}, weight {w.shape[::-1]} and bias {b.shape} do not fit together")
    y = onp.empty((x.shape[0], m), x.dtype)
    (forward_loop.run if _few(x, w, b) else _forward)(x, w, b, relu, y)
    return y


def backward(
    g: onp.ndarray, y: onp.ndarray, x: onp.ndarray, relu: bool, dw: onp.ndarray, db: onp.ndarray | None
) -> Any:
    """Write the gradients of w and b into dw (k, m) and db (m,); return the one of x w + b: g, or g gated by relu."""
    h = gated(g, y) if relu else g
    db = NONE if db is None else db
    loop = dw.shape[1] >= WIDE and h.flags.carray and _few(x, dw, db)
    (backward_loop.run if loop else _backward)(h, x, dw, db)
    return h


def gated(g: onp.ndarray, y: onp.ndarray) -> onp.ndarray:
    """Return g where y > 0, else 0: the gradient before a relu with output y."""
    h = onp.empty(g.shape, g.dtype)
    fits = g.dtype == y.dtype == onp.float32 and g.flags.carray and y.flags.carray
    (gate.run if fits else gate.equal)(g, y, h)
    return h


def _few(x: onp.ndarray, w: onp.ndarray, b: onp.ndarray) -> bool:
    """Return whether the loop is for these arrays: few numbers, float32, in the order it reads."""
    return (
        0 < x.size <= FEW
        and x.dtype == onp.float32
        and b.dtype == onp.float32
        and x.flags.carray
        and w.flags.carray
        and b.flags.carray
    )


def _forward(x, w, b, relu, y):  # by BLAS
    onp.dot(x, w, out=y)
    if b.size:
        y += b
    if relu:
        onp.maximum(y, 0, out=y)


@kernel(_forward)
def forward_loop(x, w, b, relu, y):
    """y = x w + b, with 0 for negative numbers if `relu`: (n, k), (k, m), (m,) or (0,) -> (n, m)."""
    n, k = x.shape
    m = w.shape[1]
    zero = y.dtype.type(0)
    for i in range(n):
        for j in range(m):
            y[i, j] = b[j] if b.size else zero
        p = 0
        while p + 4 <= k:  # four terms at a time: a row of y is read and written once for four rows of w
            x0, x1, x2, x3 = x[i, p], x[i, p + 1], x[i, p + 2], x[i, p + 3]
            for j in range(m):
                y[i, j] = y[i, j] + x0 * w[p, j] + x1 * w[p + 1, j] + x2 * w[p + 2, j] + x3 * w[p + 3, j]
            p += 4
        for q in range(p, k):
            for j in range(m):
                y[i, j] += x[i, q] * w[q, j]
        if relu:
            for j in range(m):
                y[i, j] = zero if y[i, j] < zero else y[i, j]  # NaN is not below 0 and stays


def _gate(g, y, h):
    h[...] = onp.where(y > 0, g, 0)


@kernel(_gate, exact=True)
def gate(g, y, h):
    """h = g where y > 0, else 0: (n, m) each."""
    zero = g.dtype.type(0)
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            h[i, j] = g[i, j] if y[i, j] > zero else zero


def _backward(h, x, dw, db):  # by BLAS
    onp.matmul(x.T, h, out=dw)
    if db.size:
        onp.add.reduce(h, 0, out=db)


@kernel(_backward)
def backward_loop(h, x, dw, db):
    """dw = xᵀ h, db = sum of the rows of h: (n, m), (n, k) -> (k, m), (m,) or (0,)."""
    n, k = x.shape
    m = h.shape[1]
    zero = h.dtype.type(0)
    for j in range(db.size):
        db[j] = zero
        for i in range(n):
            db[j] += h[i, j]
    for p in range(k):
        for j in range(m):
            dw[p, j] = zero
        i = 0
        while i + 2 <= n:
            x0, x1 = x[i, p], x[i + 1, p]
            for j in range(m):
                dw[p, j] = dw[p, j] + x0 * h[i, j] + x1 * h[i + 1, j]
            i += 2
        if i < n:
            for j in range(m):
                dw[p, j] += x[i, p] * h[i, j]
