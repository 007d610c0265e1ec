"""Reductions that are not linear: mean, max, var, prod, cumsum, argmax, sort."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as onp

from d2lblocks.np.dtypes import added_in, alike, as_dtype
from d2lblocks.np.indexing import places_along
from d2lblocks.np.moves import (
    _axes,
    add_up,
    broadcast_to,
    concatenate,
    flip,
    get,
    kept,
    nonzero_places,
    over,
    scatter,
    stack,
    sum,
)
from d2lblocks.op import composed, discrete, op


def _count(shape: tuple, axis: Any) -> int:
    n = 1
    for i in _axes(axis, len(shape)):
        n *= shape[i]
    return n


def _kind(a: Any, dtype: Any) -> Any:
    """Return the dtype that was asked for; without one, integers stay what they are."""
    return as_dtype(dtype) if dtype is not None else a.dtype if a.dtype.kind in "iu" else None


@op
def mean(a, *, axis=None, dtype=None, keepdims=False):
    """Return the sum over `axis` divided by the count; of integers and truths in float32."""
    dtype = as_dtype(dtype) if dtype is not None or a.dtype.kind != "f" else None
    inner = added_in(a.dtype, dtype) if dtype is not None or a.dtype.itemsize == 2 else None
    total = add_up(a, over(axis), inner, None, bool(keepdims))
    result = total / total.dtype.type(_count(a.shape, axis))  # 0/0 is nan, not an exception
    return result if inner is None else result.astype(a.dtype if dtype is None else dtype)


mean.arrange("a", "axis", "dtype", "out", "keepdims")


@mean.vjp("a")
def _(g, z, a, axis=None, dtype=None, keepdims=False):
    return broadcast_to(g.reshape(kept(a.shape, axis)) * (1.0 / builtins.max(1, _count(a.shape, axis))), shape=a.shape)


@composed
def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    """Return the mean of (a - mean)², divided by n - ddof instead of n."""
    n = _count(a.shape, axis)
    centred, kind = _centred(a, axis, dtype)
    squares = sum(centred * centred, axis=axis, keepdims=keepdims)
    result = (squares / (n - ddof)).astype(kind, copy=False)
    return result if out is None else result.copyto(out)


def _centred(a, axis, dtype):
    """Return a - mean, in a dtype fine enough to square it, and the dtype that the result shall have."""
    kind = as_dtype(dtype) if dtype is not None or a.dtype.kind != "f" else a.dtype
    a = a.astype(onp.result_type(a.dtype, kind, onp.float32), copy=False)
    return a - mean(a, axis=axis, keepdims=True), kind


@op
def length(x, *, axis=None, keepdims=False):
    """Root of the sum of squares over `axis`."""
    return onp.sqrt(add_up(x * x, axis if axis is None else _axes(axis, x.ndim), keepdims=bool(keepdims)))


length.title = "norm"


@length.vjp("x")
def _(g, z, x, axis=None, keepdims=False):
    # At 0 the length has no derivative; 0 is in its subdifferential and keeps nan out of a net.
    z, g = z.reshape(kept(x.shape, axis)), g.reshape(kept(x.shape, axis))
    return g * x / (z + (z == 0))


@composed
def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    """Return the square root of `var`."""
    centred, kind = _centred(a, axis, dtype)
    result = length(centred, axis=axis, keepdims=keepdims) / math.sqrt(builtins.max(_count(a.shape, axis) - ddof, 0))
    result = result.astype(kind, copy=False)
    return result if out is None else result.copyto(out)


@composed
def average(a, axis=None, weights=None, returned=False, out=None):
    """Return the weighted mean: sum(w a) / sum(w)."""
    if weights is None:
        result, total = mean(a, axis=axis), None
    else:
        if weights.shape != a.shape:
            shape = [1] * a.ndim
            shape[_axes(axis, a.ndim)[0]] = weights.size
            weights = weights.reshape(tuple(shape))
        total = sum(a * 0 + weights, axis=axis)
        result = sum(a * weights, axis=axis) / total
    result = result if out is None else result.copyto(out)
    return (result, total if total is not None else result * 0 + _count(a.shape, axis)) if returned else result


@op
def max(a, *, axis=None, keepdims=False):  # noqa: A001 - NumPy's name
    """Largest entry over `axis`; nan wins."""
    return onp.max(a, axis=over(axis), keepdims=bool(keepdims))


@op
def min(a, *, axis=None, keepdims=False):  # noqa: A001 - NumPy's name
    """Smallest entry over `axis`; nan wins."""
    return onp.min(a, axis=over(axis), keepdims=bool(keepdims))


@max.vjp("a")
@min.vjp("a")
def _(g, z, a, axis=None, keepdims=False):
    # Every entry that reached the extreme gets the gradient, ties included, as in the original.
    shape = kept(a.shape, axis)
    return g.reshape(shape) * (a == z.reshape(shape))


@op
def prod(a, *, axis=None, dtype=None, keepdims=False):
    """Product over `axis`."""
    return onp.prod(a, axis=over(axis), dtype=_kind(a, dtype), keepdims=bool(keepdims))


prod.arrange("a", "axis", "dtype", "out", "keepdims")


@prod.vjp("a")
def _(g, z, a, axis=None, dtype=None, keepdims=False):
    shape = kept(a.shape, axis)
    if onp.all(getattr(a, "_data", a)):
        return g.reshape(shape) * z.reshape(shape) / a
    # Where entries are 0: the product of the others, from the left times from the right.
    axes = _axes(axis, a.ndim) if a.ndim else ()
    rest = tuple(i for i in range(a.ndim) if i not in axes)
    moved = a.transpose((*rest, *axes)).reshape((*(a.shape[i] for i in rest), -1))
    columns = [moved[..., i] for i in range(moved.shape[-1])]
    left = right = columns[0] * 0 + 1
    parts = []
    for column in columns:
        parts.append(left)
        left = left * column
    for i in reversed(range(len(columns))):
        parts[i] = parts[i] * right
        right = right * columns[i]
    stacked = stack(parts, axis=-1).reshape((*(a.shape[i] for i in rest), *(a.shape[i] for i in axes)))
    back = stacked.transpose(tuple(int(i) for i in onp.argsort((*rest, *axes))))
    return g.reshape(shape) * back


@op
def cumsum(a, *, axis=None, dtype=None):
    """Running sum along `axis` (None: of the flattened array)."""
    return onp.cumsum(a, axis=axis, dtype=_kind(a, dtype))


@cumsum.vjp("a")
def _(g, z, a, axis=None, dtype=None):
    along = 0 if axis is None else axis
    return flip(cumsum(flip(g, axis=along), axis=along), axis=along).reshape(a.shape)


@op
def sort(a, *, axis=-1, kind=None, order=None):
    """Sort in rising order along `axis`."""
    return onp.sort(a, axis=axis)


@sort.vjp("a")
def _(g, z, a, axis=-1, kind=None, order=None):
    flat, along = (a.reshape(-1), 0) if axis is None else (a, axis)
    places = onp.argsort(getattr(flat, "_data", flat), axis=along, kind="stable")
    return scatter(g, key=places_along(along, places), shape=flat.shape).reshape(a.shape)


@composed
def ptp(a, axis=None, keepdims=False):
    """Return max - min over `axis`."""
    return max(a, axis=axis, keepdims=keepdims) - min(a, axis=axis, keepdims=keepdims)


def _edge(end, shape):
    return broadcast_to(end, shape=shape) if end.ndim == 0 else end


@composed
def diff(a, n=1, axis=-1, prepend=None, append=None):
    """Return a[i + 1] - a[i] along `axis`, n times; `prepend` and `append` are put before and behind first."""
    axis = _axes(axis, a.ndim)[0]
    edge = tuple(1 if i == axis else size for i, size in enumerate(a.shape))
    before, after = ([] if end is None else [_edge(alike(end, a), edge)] for end in (prepend, append))
    if before or after:
        a = concatenate([*before, a, *after], axis)
    front = (slice(None),) * axis
    for _ in range(n):
        a = get(a, key=(*front, slice(1, None))) - get(a, key=(*front, slice(None, -1)))
    return a


# ---------------------------------------------------------------------------------------- positions and truths


@discrete
def argmax(a, *, axis=None, keepdims=False):
    """Position of the largest entry, int64; the first one of several."""
    return onp.argmax(a, axis=axis, keepdims=bool(keepdims))


argmax.arrange("a", "axis", "out", "keepdims")


@discrete
def argmin(a, *, axis=None, keepdims=False):
    """Position of the smallest entry, int64; the first one of several."""
    return onp.argmin(a, axis=axis, keepdims=bool(keepdims))


argmin.arrange("a", "axis", "out", "keepdims")


@discrete
def argsort(a, *, axis=-1, kind=None, order=None):
    """Positions that would sort along `axis`, int64; equal entries keep their order."""
    return onp.argsort(a, axis=axis, kind="stable")


@discrete
def all(a, *, axis=None, keepdims=False):  # noqa: A001 - NumPy's name
    """Whether all entries over `axis` are true."""
    return onp.all(a, axis=over(axis), keepdims=bool(keepdims))


@discrete
def any(a, *, axis=None, keepdims=False):  # noqa: A001 - NumPy's name
    """Whether some entry over `axis` is true."""
    return onp.any(a, axis=over(axis), keepdims=bool(keepdims))


@discrete
def unique_parts(a, *, axis=None):
    """Distinct entries in rising order, with first positions, inverse and counts."""
    values, first, inverse, counts = onp.unique(
        a, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    return values, first, inverse.reshape(-1), counts


unique_parts.title = "unique"


@composed
def unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None):
    """Return the distinct entries in rising order, and on request their first positions, inverse and counts."""
    values, *parts = unique_parts(ar, axis=axis)
    chosen = [part for part, want in zip(parts, (return_index, return_inverse, return_counts), strict=True) if want]
    return (values, *chosen) if chosen else values


def nonzero(a):
    """Return the places of the entries that are not 0, one int64 array per axis."""
    return nonzero_places(a)
