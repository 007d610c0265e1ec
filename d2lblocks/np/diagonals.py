"""Triangles and diagonals of matrices, and matrices made of a diagonal."""

from __future__ import annotations

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.moves import get, moveaxis, scatter
from d2lblocks.op import composed, fit, op


@op
def tril(m, *, k=0):
    """Lower triangle: zero above the k-th diagonal."""
    return onp.tril(m, k)


@tril.vjp("m")
def _(g, z, m, k=0):
    return fit(tril(g, k=k), m.shape)  # a vector was repeated to a square


@op
def triu(m, *, k=0):
    """Upper triangle: zero below the k-th diagonal."""
    return onp.triu(m, k)


@triu.vjp("m")
def _(g, z, m, k=0):
    return fit(triu(g, k=k), m.shape)


@composed
def diagonal(a, offset=0, axis1=0, axis2=1):
    """Return the entries a[..., i, i + offset, ...]."""
    moved = moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = moved.shape[-2:]
    i = onp.arange(max(0, min(rows + min(offset, 0), columns - max(offset, 0))))
    return get(moved, key=(..., i - min(offset, 0), i + max(offset, 0)))


@composed
def trace(a, offset=0, axis1=0, axis2=1, out=None):
    """Return the sum of the diagonal."""
    return diagonal(a, offset, axis1, axis2).sum(axis=-1, out=out)


@composed
def diag(array, k=0):
    """Return the k-th diagonal of a matrix, or the matrix with this diagonal."""
    if array.ndim == 2:
        return diagonal(array, k)
    if array.ndim != 1:
        raise ArgumentError(f"diag takes 1 or 2 dimensions, got shape {array.shape}.")
    n = array.size + abs(k)
    i = onp.arange(array.size)
    return scatter(array, key=(i - min(k, 0), i + max(k, 0)), shape=(n, n))


@composed
def diagflat(array, k=0):
    """Return a matrix with the flattened array on its k-th diagonal."""
    return diag(array.reshape(-1), k)
