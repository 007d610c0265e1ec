"""Linear algebra, np.linalg: norm, inv, det, solve, and the decompositions with their derivatives."""

from __future__ import annotations

import functools
import numbers
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.diagonals import tril, triu
from d2lblocks.np.elementwise import absolute, power
from d2lblocks.np.moves import _axes, moveaxis, swapaxes
from d2lblocks.np.moves import sum as sum_
from d2lblocks.np.official import official
from d2lblocks.np.products import matmul, outer
from d2lblocks.np.reduce import length
from d2lblocks.np.reduce import max as max_
from d2lblocks.np.reduce import min as min_
from d2lblocks.op import composed, op

cond, lstsq = official(onp.linalg.cond), official(onp.linalg.lstsq)
matrix_rank, qr = official(onp.linalg.matrix_rank), official(onp.linalg.qr)


@composed
def norm(x, ord=None, axis=None, keepdims=False):
    """Return the length of x: by default the root of the sum of squares of all entries."""
    x = x if x.dtype.kind == "f" else x.astype("float32")
    ord = float(ord) if ord in ("inf", "-inf") else ord
    axes = _axes(axis, x.ndim)
    if ord is None or (ord == 2 and len(axes) == 1) or ord == "fro":
        return length(x, axis=axis, keepdims=keepdims)
    if len(axes) == 1:
        if ord in (float("inf"), float("-inf")):
            return (max_ if ord > 0 else min_)(absolute(x), axis=axis, keepdims=keepdims)
        if ord == 0:
            return sum_((x != 0).astype(x.dtype), axis=axis, keepdims=keepdims)
        return power(sum_(power(absolute(x), ord), axis=axis, keepdims=keepdims), 1.0 / ord)
    return _matrix_norm(x, ord, axes, keepdims)


def _matrix_norm(x, ord, axes, keepdims):
    if len(axes) != 2:
        raise ArgumentError(f"norm: order {ord!r} needs one or two axes, got {axes} of shape {x.shape}.")
    row, column = axes
    if ord in (1, -1, float("inf"), float("-inf")):
        along, over = (row, column) if abs(ord) == 1 else (column, row)
        sums = sum_(absolute(x), axis=along, keepdims=True)
        best = (max_ if ord > 0 else min_)(sums, axis=over, keepdims=True)
    elif ord in (2, -2, "nuc"):
        s = svd(moveaxis(x, axes, (-2, -1)))[1]
        best = sum_(s, axis=-1) if ord == "nuc" else (max_ if ord > 0 else min_)(s, axis=-1)
        return best.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape))) if keepdims else best
    else:
        raise ArgumentError(f"norm: unknown order {ord!r} for a matrix.")
    return best if keepdims else best.squeeze(axes)


@op
def inv(a):
    """Inverse of square matrices: (..., n, n) -> (..., n, n)."""
    return onp.linalg.inv(a)


@inv.vjp("a")
def _(g, z, a):
    zt = swapaxes(z, -1, -2)
    return -matmul(matmul(zt, g), zt)


@op
def det(a):
    """Determinant: (..., n, n) -> (...)."""
    return onp.linalg.det(a)


@det.vjp("a")
def _(g, z, a):
    return (g * z).reshape((*z.shape, 1, 1)) * swapaxes(inv(a), -1, -2)


@op
def solve(a, b):
    """x with a x = b: (n, n), (n, m) -> (n, m)."""
    return onp.linalg.solve(a, b)


@solve.vjp("a")
def _(g, z, a, b):
    gb = solve(swapaxes(a, -1, -2), g)
    if z.ndim == 1:
        return -outer(gb, z)
    return -matmul(gb, swapaxes(z, -1, -2))


@solve.vjp("b")
def _(g, z, a, b):
    return solve(swapaxes(a, -1, -2), g)


@composed
def multi_dot(arrays: Any) -> Any:
    """Return the product of the matrices, from the left to the right."""
    return functools.reduce(matmul, arrays)


@composed
def matrix_power(a: Any, n: int) -> Any:
    """Return a a ... a, n times; of the inverse if n is negative."""
    if not isinstance(n, numbers.Integral):
        raise ArgumentError(f"matrix_power: the exponent must be a whole number, got {n!r}.")
    if n == 0:
        return a * 0 + a._wrap(onp.eye(a.shape[-1], dtype=a.dtype))
    return multi_dot([a if n > 0 else inv(a)] * abs(n))


@composed
def tensorinv(a: Any, ind: int = 2) -> Any:
    """Return the inverse of a, read as a matrix from its last axes to its first `ind` ones."""
    if ind < 1:
        raise ArgumentError(f"tensorinv: ind must be positive, got {ind}.")
    n = int(onp.prod(a.shape[ind:], dtype=int))
    return inv(a.reshape((n, -1))).reshape((*a.shape[ind:], *a.shape[:ind]))


@composed
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Return x with a x = b, a read as a matrix whose rows are the axes of b; `axes` of a are moved to the end first."""
    if axes is not None:
        a = moveaxis(a, tuple(axes), tuple(range(a.ndim - len(axes), a.ndim)))
    return solve(a.reshape((b.size, -1)), b.reshape(-1)).reshape(a.shape[b.ndim :])


# ---------------------------------------------------------------------------------------- decompositions


def _transposed(a: Any) -> Any:
    return swapaxes(a, -1, -2)


def _gaps(values: Any) -> Any:
    """1 / (v_j - v_i), with 0 on the diagonal: how strongly eigenvectors i and j mix when the matrix moves."""
    ones = onp.eye(values.shape[-1], dtype=values.dtype)
    ones = values._wrap(ones) if hasattr(values, "_wrap") else ones
    return (1.0 - ones) / (values[..., None, :] - values[..., :, None] + ones)


@op
def cholesky(a):
    """L with a = L Lᵀ, lower triangular; of a that is not symmetric, the symmetric part counts."""
    return onp.linalg.cholesky((a + onp.swapaxes(a, -1, -2)) / 2)


@cholesky.vjp("a")
def _(g, z, a):
    # See: Murray, Differentiation of the Cholesky decomposition (2016).
    inner = matmul(_transposed(z), g)
    inner = (tril(inner) + tril(inner, k=-1)) * 0.5
    back = inv(z)
    whole = matmul(matmul(_transposed(back), inner), back)
    return (whole + _transposed(whole)) * 0.5


@op
def svd(a):
    """u, s, v with a = u diag(s) v."""
    return tuple(onp.linalg.svd(a, full_matrices=False))


@svd.vjp("a")
def _(g, z, a):
    # See: Townsend, Differentiating the singular value decomposition (2016). Singular values must differ.
    (gu, gs, gv), (u, s, v) = g, z
    mix, row = _gaps(s * s), s[..., None, :]
    uu, vv = matmul(_transposed(u), gu), matmul(v, _transposed(gv))
    middle = mix * (uu - _transposed(uu)) * row + s[..., :, None] * (mix * (vv - _transposed(vv)))
    left = matmul(u, middle) + u * gs[..., None, :] + (gu - matmul(u, uu)) / row
    rest = (gv - matmul(_transposed(vv), v)) / s[..., :, None]
    return matmul(left, v) + matmul(u, rest)


@op
def eigh(a, *, UPLO: Any = "L"):
    """Eigenvalues, rising, and eigenvectors of a symmetric matrix, of which one triangle is read."""
    return tuple(onp.linalg.eigh(a, UPLO))


@eigh.vjp("a")
def _(g, z, a, UPLO="L"):
    # Eigenvalues must differ. An entry of the triangle stands for its mirror image, too.
    (gw, gv), (w, v) = g, z
    middle = _gaps(w) * matmul(_transposed(v), gv)
    whole = matmul(matmul(v, middle) + v * gw[..., None, :], _transposed(v))
    one, strictly = (tril, {"k": -1}) if UPLO == "L" else (triu, {"k": 1})
    return one(whole) + one(_transposed(whole), **strictly)


@op
def eig(a):
    """Eigenvalues and eigenvectors of a square matrix whose eigenvalues are real."""
    return tuple(onp.real_if_close(part, tol=1000) for part in onp.linalg.eig(a))


@op
def pinv(a, *, rcond=1e-15, hermitian=False):
    """Pseudo-inverse; singular values below rcond times the largest count as 0."""
    return onp.linalg.pinv(a, rcond, hermitian)


@pinv.vjp("a")
def _(g, z, a, rcond=1e-15, hermitian=False):
    # See: Golub & Pereyra (1973); the rank must not change.
    zt, gt = _transposed(z), _transposed(g)
    outside = gt - matmul(a, matmul(z, gt))
    beside = gt - matmul(matmul(gt, z), a)
    return matmul(outside, matmul(z, zt)) + matmul(matmul(zt, z), beside) - matmul(matmul(zt, g), zt)


@op
def slogdet(a):
    """Sign and log of the absolute value of the determinant."""
    return tuple(onp.asarray(part) for part in onp.linalg.slogdet(a))


@slogdet.vjp("a")
def _(g, z, a):
    return g[1].reshape((*z[1].shape, 1, 1)) * _transposed(inv(a))


@composed
def eigvals(a):
    """Return the eigenvalues of a square matrix."""
    return eig(a)[0]


@composed
def eigvalsh(a, UPLO="L"):
    """Return the eigenvalues of a symmetric matrix, of which one triangle is read."""
    return eigh(a, UPLO=UPLO)[0]
