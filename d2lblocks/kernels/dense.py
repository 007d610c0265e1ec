"""A fully connected layer on raw arrays: y = x w + b and its gradients, by kernels on few numbers, by BLAS on many.

Here w is (k, m), inputs times units: the transpose of a layer's weight, whose columns lie next to each other in memory.
Then the innermost loops run over neighbours, and only the gradient of x needs a transposed copy of w.
"""

from __future__ import annotations

import numpy as onp

from d2lblocks.kernels._jit import Matrix, Vector, kernel
from d2lblocks.kernels.product import Inner, address, product, transpose

# BLAS copies x and w into an order that suits the caches, which pays off for many rows of x and many numbers of w. Time of
# the kernel in that of BLAS, 1 thread, AVX-512, for n rows:
#     (k, m)           n = 1    2    8    32    64   256
#     (784, 256)         0.8  0.9  0.4   0.7   0.9   1.0     gradient of w: 0.6 at 8, 0.8 at 32, 1.1 at 256
#     (512, 1024)        1.1  0.3  0.5   0.9   1.0   1.2
#     (2048, 2048)       1.0  0.3  0.4   1.4   1.9
FEW = 8  # rows for which the kernels are never slower
MANY = 2**19  # numbers of w from which BLAS is faster for more rows than that
LONG, LONG_BACK = 2**26, 2**25  # products of numbers from which it is, too, forward and in the gradient of w
ROW = 2**14  # numbers of w from which it is faster at the gradient of a single x: it needs no transposed copy
PANEL = 2**14  # numbers of w that are transposed at a time: they stay in the nearest caches
NONE = onp.zeros(0, onp.float32)  # stands for a bias or a gradient that is not there
NONE2 = onp.zeros((0, 0), onp.float32)


def forward(x: onp.ndarray, w: onp.ndarray, b: onp.ndarray | None, relu: bool) -> onp.ndarray:
    """Return x w + b, with 0 for negative numbers if `relu`: (n, k), (k, m), (m,) -> (n, m)."""
    n, k = x.shape
    terms, m = w.shape
    b = NONE if b is None else b
    if k != terms or (b is not NONE and b.shape != (m,)):  # a kernel would read past the end of an array
        raise ValueError(f"x {x.shape}, weight {w.shape[::-1]} and bias {b.shape} do not fit together")
    y = onp.empty((n, m), x.dtype)
    if for_blas(n, k * m, LONG):
        onp.dot(x, w, out=y)
        finish.run(y, b, relu)
    else:
        forward_loop.run(x, w, b, relu, y)
    return y


def backward(
    g: onp.ndarray, y: onp.ndarray, x: onp.ndarray, w: onp.ndarray, relu: bool,
    dw: onp.ndarray | None, db: onp.ndarray | None, want_dx: bool,
) -> onp.ndarray | None:  # fmt: skip
    """Write the gradients of w and b into dw (k, m) and db (m,), where these are, and return the one of x if it is wanted."""
    dw, db = NONE2 if dw is None else dw, NONE if db is None else db
    n, (k, m) = len(x), w.shape
    if not (x.shape == (n, k) and g.shape == y.shape == (n, m) and dw.size in (0, k * m) and db.size in (0, m)):
        raise ValueError(
            f"gradient {g.shape}, output {y.shape}, x {x.shape} and weight {w.shape[::-1]} do not fit together"
        )
    dx = onp.empty((n, k), x.dtype) if want_dx else NONE2
    dw_later = dw.size and for_blas(n, k * m, LONG_BACK)
    dx_later = dx.size and (for_blas(n, k * m, LONG) or (n == 1 and k * m > ROW))
    h = onp.empty(g.shape, g.dtype) if relu else g
    panel = onp.empty(max(PANEL, 16 * m), onp.float32) if want_dx and not dx_later else NONE
    backward_loop.run(g, y, x, w, relu, NONE2 if dw_later else dw, db, NONE2 if dx_later else dx, h, panel)
    if dw_later:
        onp.matmul(x.T, h, out=dw)
    if dx_later:
        onp.matmul(h, w.T, out=dx)
    return dx if want_dx else None


def for_blas(n: int, size: int, long: int) -> bool:
    """Return whether BLAS is faster with n rows of x and so many numbers of w."""
    return n > FEW and (size > MANY or n * size > long)


def _forward(x, w, b, relu, y):  # by BLAS
    onp.dot(x, w, out=y)
    _finish(y, b, relu)


@kernel(_forward)
def forward_loop(x: Matrix, w: Matrix, b: Vector, relu: bool, y: Matrix):
    """y = x w + b, with 0 for negative numbers if `relu`: (n, k), (k, m), (m,) or (0,) -> (n, m)."""
    n, k = x.shape
    m = w.shape[1]
    product(n, k, m, address(x), k, 1, address(w), m, address(y), m, address(b) if b.size else 0, 0, relu)


def _finish(y, b, relu):
    if b.size:
        y += b
    if relu:
        onp.maximum(y, 0, out=y)


@kernel(_finish)
def finish(y: Matrix, b: Vector, relu: bool):
    """y = y + b, with 0 for negative numbers if `relu`, in place: (n, m), (m,) or (0,)."""
    n, m = y.shape
    zero = y.dtype.type(0)
    for i in range(n):
        if b.size:
            for j in range(m):
                y[i, j] += b[j]
        if relu:
            for j in range(m):
                y[i, j] = zero if y[i, j] < zero else y[i, j]  # NaN is not below 0 and stays


def _backward(g, y, x, w, relu, dw, db, dx, h, panel):  # by BLAS
    if relu:
        onp.copyto(h, onp.where(y > 0, g, g.dtype.type(0)))
    if dw.size:
        onp.matmul(x.T, h, out=dw)
    if db.size:
        onp.add.reduce(h, 0, out=db)
    if dx.size:
        onp.matmul(h, w.T, out=dx)


@kernel(_backward)
def backward_loop(g: Matrix, y: Matrix, x: Matrix, w: Matrix, relu: bool, dw: Matrix, db: Vector, dx: Matrix, h: Matrix,
                  panel: Vector):  # fmt: skip
    """dw = xᵀ h, db = sum of the rows of h, dx = h wᵀ, where h = g, if `relu` only where y > 0; all but empty ones.

    Shapes:
        g, y, h: (n, m), h is written if `relu`, else g itself;  x, dx: (n, k);  w, dw: (k, m);  db: (m,);  panel: m or more
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
    if dx.size:
        multiply_turned(n, k, m, address(h), address(w), address(dx), address(panel), panel.size)


@Inner
def multiply_turned(n, k, m, h, w, dx, panel, size):
    """dx = h wᵀ: (n, m), (k, m) -> (n, k), all at addresses; at `panel` is room for m numbers at least, better for 16 m."""
    some = max(1, min(k, size // max(1, m)))
    some = some if some == k or some < 16 else some // 16 * 16
    for p in range(0, k, some):  # some rows of w at a time, transposed: they make as many columns of dx
        rows = min(some, k - p)
        transpose(rows, m, w + 4 * p * m, m, panel, some)
        product(n, m, rows, h, m, 1, panel, some, dx + 4 * p, k, 0, 0, False)
