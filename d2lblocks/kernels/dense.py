"""A fully connected layer on raw arrays: y = x w + b and its gradients, by kernels on few numbers, by BLAS on many.

Here w is (k, m), inputs times units: the transpose of a layer's weight, whose columns lie next to each other in memory.
Then the innermost loops run over neighbours, and only the gradient of x needs a transposed copy of w.
"""

from __future__ import annotations

import numpy as onp

from d2lblocks.kernels._jit import kernel
from d2lblocks.kernels.product import address, product

# So many numbers of w, or products of numbers, are for BLAS: it copies x and w into an order that suits the caches.
MANY, LONG = 2**19, 2**25
PANEL = 2**14  # numbers of w that `backward_loop` copies at a time: they stay in the nearest caches
NONE = onp.zeros(0, onp.float32)  # stands for a bias or a gradient that is not there
NONE2 = onp.zeros((0, 0), onp.float32)


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
    g: onp.ndarray, y: onp.ndarray, x: onp.ndarray, w: onp.ndarray, relu: bool,
    dw: onp.ndarray | None, db: onp.ndarray | None, want_dx: bool,
) -> onp.ndarray | None:  # fmt: skip
    """Write the gradients of w and b into dw (k, m) and db (m,), where these are, and return the one of x if it is wanted."""
    dw = NONE2 if dw is None else dw
    db = NONE if db is None else db
    dx = onp.empty(x.shape, x.dtype) if want_dx else NONE2
    if _few(x, w, db) and _plain(g) and _plain(y) and _plain(dw):
        h = onp.empty(g.shape, onp.float32) if relu else g
        panel = onp.empty(_panel(*w.shape), onp.float32) if want_dx else NONE2
        backward_loop.run(g, y, x, w, relu, dw, db, dx, h, panel)
    else:
        _backward(g, y, x, w, relu, dw, db, dx, NONE2, NONE2)
    return dx if want_dx else None


def _few(x: onp.ndarray, w: onp.ndarray, b: onp.ndarray) -> bool:
    """Return whether the kernels are for these arrays: few numbers, float32, in the order they read."""
    return w.size <= MANY and len(x) * w.size <= LONG and _plain(x) and _plain(w) and _plain(b)


def _plain(a: onp.ndarray) -> bool:
    return a.dtype == onp.float32 and a.flags.carray


def _panel(k: int, m: int) -> tuple[int, int]:
    """Return the shape of the copies of some rows of w, transposed."""
    return m, min(k, max(16, PANEL // max(m, 1) // 16 * 16))


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
    product(n, k, m, address(x), k, 1, address(w), m, address(y), m, address(b) if b.size else 0, 0, relu)


def _backward(g, y, x, w, relu, dw, db, dx, h, panel):  # by BLAS
    h = onp.where(y > 0, g, g.dtype.type(0)) if relu else g
    if dw.size:
        onp.matmul(x.T, h, out=dw)
    if db.size:
        onp.add.reduce(h, 0, out=db)
    if dx.size:
        onp.matmul(h, w.T, out=dx)


@kernel(_backward)
def backward_loop(g, y, x, w, relu, dw, db, dx, h, panel):
    """dw = xᵀ h, db = sum of the rows of h, dx = h wᵀ, where h = g, if `relu` only where y > 0; all but empty ones.

    Shapes:
        g, y, h: (n, m); h is written if `relu`, else g itself;  x, dx: (n, k);  w, dw: (k, m);  db: (m,);  panel: (m, some)
    """
    n, k = x.shape
    m = w.shape[1]
    zero = g.dtype.type(0)
    for j in range(db.size):
        db[j] = zero
    for i in range(n):
        if relu:
            for j in range(m):
                h[i, j] = g[i, j] if y[i, j] > zero else zero
        for j in range(db.size):
            db[j] += h[i, j]
    if dw.size:
        product(k, n, m, address(x), 1, k, address(h), m, address(dw), m, 0, 0, False)
    some = panel.shape[1]
    p = 0
    while dx.size and p < k:  # some rows of w at a time, transposed: they make as many columns of dx
        rows = min(some, k - p)
        for q in range(rows):
            for j in range(m):
                panel[j, q] = w[p + q, j]
        product(n, m, rows, address(h), m, 1, address(panel), some, address(dx) + 4 * p, k, 0, 0, False)
        p += rows
