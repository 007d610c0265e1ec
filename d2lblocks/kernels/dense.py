"""A fully connected layer on raw arrays: y = x w + b and its gradients, by kernels on few numbers, by BLAS on many.

Here w is (k, m), inputs times units: the transpose of a layer's weight, whose columns lie next to each other in memory.
Then the innermost loops run over neighbours, and only the gradient of x needs a transposed copy of w.
"""

from __future__ import annotations

import numpy as onp

from d2lblocks.kernels._jit import Matrix, Vector, kernel
from d2lblocks.kernels.blas import threads
from d2lblocks.kernels.buffers import empty
from d2lblocks.kernels.product import SHORT, SPAN, Inner, address, floats, product, transpose

# BLAS copies x and w into an order that suits the caches, which pays off for many rows of x and many numbers of w. Time of
# the kernel in that of BLAS, 1 thread, AVX-512, for n rows:
#     (k, m)           n = 1    2    8    32    64   256
#     (784, 256)         0.8  0.9  0.4   0.7   0.7   0.8     gradient of w: 0.6 at 8, 0.8 at 32, 0.9 from 64 on
#     (512, 1024)        1.1  0.3  0.5   0.9   0.9   1.0                    0.8 at 64, 0.9 at 128, 1.2 at 256
#     (2048, 2048)       1.0  0.3  0.4   1.4   1.9
FEW = 8  # rows for which the kernels are never slower
MANY = 2**19  # numbers of w from which BLAS is faster for more rows than that
LONG = 2**27  # products of numbers from which it is, too
SHARED = 2**24  # the same where BLAS has two threads, amid a training step, where they must be woken: a kernel has one
FAST = 2**22  # products of numbers of which none is for BLAS
ROW = 2**14  # numbers of w from which it is faster at the gradient of a single x: it needs no transposed copy
ROOM = 2**14  # numbers of the output up to which the kernel gets a piece of memory that is kept for it
LARGE = 2**20  # numbers of such a piece for a bigger layer
PANEL = 2**14  # numbers of w or x that are transposed at a time: they stay in the nearest caches
TALL = 128  # rows and columns of y from which columns of x are transposed for the gradient of w: tiles pass over them often
NONE = onp.zeros(0, onp.float32)  # stands for a bias or a gradient that is not there
NONE2 = onp.zeros((0, 0), onp.float32)
_spares: list[onp.ndarray] = []  # pieces of memory for small gradients; who uses one takes it out meanwhile
_large: list[onp.ndarray] = []  # and for others


def forward(x: onp.ndarray, w: onp.ndarray, b: onp.ndarray | None, relu: bool) -> onp.ndarray:
    """Return x w + b, with 0 for negative numbers if `relu`: (n, k), (k, m), (m,) -> (n, m)."""
    n, m = len(x), w.shape[1]
    y = onp.empty((n, m), x.dtype)
    if b is None:
        b = NONE
    elif b.size != m:
        raise ValueError(f"weight {w.shape[::-1]} and bias {b.shape} do not fit together")
    if (n > FEW and for_blas(n, w.size)) or not forward_loop.fast(x, w, b, relu, y):
        if x.shape[1] != len(w) or b.ndim != 1:
            raise ValueError(f"x {x.shape}, weight {w.shape[::-1]} and bias {b.shape} do not fit together")
        onp.dot(x, w, out=y)
        finish.run(y, b, relu)
    return y


def backward(
    g: onp.ndarray, y: onp.ndarray, x: onp.ndarray, w: onp.ndarray, relu: bool,
    dw: onp.ndarray | None, db: onp.ndarray | None, want_dx: bool, t: onp.ndarray = NONE2, h: onp.ndarray = NONE2,
) -> onp.ndarray | None:  # fmt: skip
    """Write the gradients of w and b into dw (k, m) and db (m,), where these are, and return the one of x if it is wanted.

    With t (k, n) and h (n, m) instead of dw, its factors are written there: dw = t h.
    """
    n, (k, m) = len(x), w.shape
    dx = onp.empty((n, k), x.dtype) if want_dx else NONE2
    to_w, to_b = NONE2 if dw is None else dw, NONE if db is None else db
    if n * m <= ROOM and n * k * m <= FAST and (not want_dx or k * m <= ROW):  # nothing for BLAS, little room needed
        try:
            spare = _spares.pop()
        except IndexError:
            spare = empty((ROOM + ROW,), onp.float32)
        done = backward_loop.fast(g, y, x, w, relu, to_w, to_b, dx, t, h, spare)
        _spares.append(spare)
        if done:
            return dx if want_dx else None
    turning = dw is not None or want_dx
    later = turning and for_blas(n, k * m)
    dw_later = dw is not None and later
    dx_later = want_dx and (later or n == 1)
    room = panel(n, k, m) if turning and not later else 0
    spare = _room(room + (n * m if relu and not h.size else 0), g.dtype)
    now = NONE2 if dw_later else to_w, to_b, NONE2 if dx_later else dx, t, h
    if not backward_loop.fast(g, y, x, w, relu, *now, spare):
        _check_fit(g, y, x, w, to_w, to_b)
        _backward(g, y, x, w, relu, *now, spare)
    h = h if h.size else spare[: n * m].reshape(n, m) if relu else g
    if dw_later:
        onp.matmul(x.T, h, out=dw)
    if dx_later:
        onp.matmul(h, w.T, out=dx)
    if 0 < spare.size <= LARGE and spare.dtype == onp.float32:
        _large.append(spare)
    return dx if want_dx else None


def _room(size: int, dtype: onp.dtype) -> onp.ndarray:
    """Return memory for so many numbers or more, if it can be the piece that was used before."""
    if size and dtype == onp.float32:
        try:
            spare = _large.pop()
        except IndexError:
            spare = NONE
        return spare if spare.size >= size else empty((size,), dtype)
    return onp.empty(size, dtype)


def _check_fit(
    g: onp.ndarray, y: onp.ndarray, x: onp.ndarray, w: onp.ndarray, dw: onp.ndarray, db: onp.ndarray
) -> None:
    n, (k, m) = len(x), w.shape
    if not (x.shape == (n, k) and g.shape == y.shape == (n, m) and dw.size in (0, k * m) and db.size in (0, m)):
        raise ValueError(
            f"gradient {g.shape}, output {y.shape}, x {x.shape} and weight {w.shape[::-1]} do not fit together"
        )


@Inner
def panel(n, k, m):
    """Return room for so many numbers of w (k, m) or of x (n, k) as are best turned at a time, see `gradients`."""
    return max(min(k * m, max(PANEL, 16 * m)), min(k * n, max(PANEL, 48 * n)))


def for_blas(n: int, size: int) -> bool:
    """Return whether BLAS is faster with n rows of x and so many numbers of w."""
    work = n * size
    return n > FEW and (size > MANY or work >= LONG or (work > SHARED and threads() > 1))


def _forward(x, w, b, relu, y):  # by BLAS
    onp.dot(x, w, out=y)
    _finish(y, b, relu)


@kernel(_forward)
def forward_loop(x: Matrix, w: Matrix, b: Vector, relu: bool, y: Matrix) -> bool:
    """y = x w + b, with 0 for negative numbers if `relu`: (n, k), (k, m), (m,) or (0,) -> (n, m)."""
    n, k = x.shape
    m = w.shape[1]
    if w.shape[0] != k or y.shape != (n, m) or (b.size and b.size != m):
        return False
    product(n, k, m, address(x), k, 1, address(w), m, address(y), m, address(b) if b.size else 0, 0, relu, 0)
    return True


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


def _backward(g, y, x, w, relu, dw, db, dx, t, h, spare):  # by BLAS
    if relu or h.size:
        h = h if h.size else spare[: g.size].reshape(g.shape)
        onp.copyto(h, onp.where(y > 0, g, g.dtype.type(0)) if relu else g)
    else:
        h = g
    if t.size:
        t[...] = x.T
    if dw.size:
        onp.matmul(x.T, h, out=dw)
    if db.size:
        onp.add.reduce(h, 0, out=db)
    if dx.size:
        onp.matmul(h, w.T, out=dx)


@kernel(_backward)
def backward_loop(g: Matrix, y: Matrix, x: Matrix, w: Matrix, relu: bool, dw: Matrix, db: Vector, dx: Matrix,
                  t: Matrix, h: Matrix, spare: Vector) -> bool:  # fmt: skip
    """dw = xᵀ h, db = sum of the rows of h, dx = h wᵀ, where h = g, if `relu` only where y > 0; t = xᵀ; all but empty ones.

    Shapes:
        g, y, h: (n, m);  x, dx: (n, k);  w, dw: (k, m);  db: (m,);  t: (k, n);  spare: h if `relu`, then a `panel` for dx
    """
    n, k = x.shape
    m = w.shape[1]
    of_h = n * m if relu and not h.size else 0
    if w.shape[0] != k or g.shape != (n, m) or y.shape != (n, m) or spare.size < of_h + (m if dx.size else 0):
        return False
    if (dw.size and dw.shape != (k, m)) or (db.size and db.size != m) or (dx.size and dx.shape != (n, k)):
        return False
    if (t.size and t.shape != (k, n)) or (h.size and h.shape != (n, m)):
        return False
    of_g, zero = address(g), g.dtype.type(0)
    if relu or h.size:
        of_g = address(h) if h.size else address(spare)
        f, z, to = floats(address(g), n * m), floats(address(y), n * m), floats(of_g, n * m)
        for i in range(n * m):
            to[i] = f[i] if z[i] > zero or not relu else zero
    if t.size:
        transpose(n, k, address(x), k, address(t), n)
    to_x, to_w, to_b = address(dx) if dx.size else 0, address(dw) if dw.size else 0, address(db) if db.size else 0
    gradients(n, k, m, address(x), address(w), of_g, to_x, to_w, to_b, address(spare) + 4 * of_h, spare.size - of_h)
    return True


def _descend(t, h, w, step):
    rescale, eta = step
    w -= eta * ((t @ h) * rescale)


@kernel(_descend)
def descend(t: Matrix, h: Matrix, w: Matrix, step: Vector) -> bool:
    """w -= eta (rescale t h), bit by bit as `backward_loop` and `update.sgd` would move it, in one pass over w.

    Shapes:
        t: (k, n), xᵀ;  h: (n, m);  w: (k, m);  step: (2,), rescale and eta;  n is such that all terms are summed at a time
    """
    k, n = t.shape
    m = h.shape[1]
    if h.shape[0] != n or w.shape != (k, m) or step.size != 2 or n > max(SHORT, SPAN // max(1, m)):
        return False
    product(k, n, m, address(t), n, 1, address(h), m, address(w), m, address(w), m, 0, address(step))
    return True


@Inner
def gradients(n, k, m, x, w, h, dx, dw, db, turned, size):
    """dw = xᵀ h, db = the sum of the rows of h, dx = h wᵀ, all at addresses; what nobody wants is at 0.

    At `turned` is room for `size` numbers, those of some rows of w: m at least, better as many as `panel` says.
    """
    if dw:
        some = min(k, size // max(1, n) // 12 * 12)
        if n < TALL or m < TALL or some < 12:
            product(k, n, m, x, 1, k, h, m, dw, m, 0, 0, 0, 0)
        else:
            for p in range(0, k, some):  # some columns of x at a time, transposed: they make as many rows of dw
                rows = min(some, k - p)
                transpose(n, rows, x + 4 * p, k, turned, n)
                product(rows, n, m, turned, n, 1, h, m, dw + 4 * p * m, m, 0, 0, 0, 0)
    if db:
        g, total = floats(h, n * m), floats(db, m)
        for j in range(m):
            total[j] = 0
        for i in range(n):
            for j in range(m):
                total[j] += g[i * m + j]
    if dx:
        some = max(1, min(k, min(size, max(PANEL, 16 * m)) // max(1, m)))
        some = some if some == k or some < 16 else some // 16 * 16
        for p in range(0, k, some):  # some rows of w at a time, transposed: they make as many columns of dx
            rows = min(some, k - p)
            transpose(rows, m, w + 4 * p * m, m, turned, some)
            product(n, m, rows, h, m, 1, turned, some, dx + 4 * p, k, 0, 0, 0, 0)
