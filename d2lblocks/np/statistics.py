"""Counting and ordering: quantile, percentile, histogram, bincount, ediff1d; and polyval."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.dtypes import alike, cast
from d2lblocks.np.moves import _axes, concatenate, get, moveaxis, scatter, transpose
from d2lblocks.np.reduce import diff, sort
from d2lblocks.op import composed, discrete
from d2lblocks.tape import Variable

_BETWEEN = ("linear", "lower", "higher", "midpoint", "nearest")


@composed
def quantile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: Any = None,
             interpolation: str = "linear", keepdims: bool = False) -> Any:  # fmt: skip
    """Return the number below which the part q of the entries lies: of n sorted entries the one at place q (n - 1)."""
    share = onp.asarray(q._numbers() if isinstance(q, Variable) else q, onp.float64)
    if not ((share >= 0) & (share <= 1)).all():
        raise ArgumentError(f"quantile: q must lie in [0, 1] (percentile: in [0, 100]), got {share.tolist()}.")
    if interpolation not in _BETWEEN:
        raise ArgumentError(
            f"quantile: unknown interpolation {interpolation!r}; expected one of {', '.join(_BETWEEN)}."
        )
    axes = _axes(axis, a.ndim)
    rest = tuple(i for i in range(a.ndim) if i not in axes)
    kind = onp.float64 if a.dtype == onp.float64 else onp.float32
    rows = transpose(cast(a, dtype=kind), axes=rest + axes).reshape((*(a.shape[i] for i in rest), -1))
    if not rows.shape[-1]:
        raise ArgumentError(f"quantile: there is no entry along axis {axis} of shape {a.shape}.")
    place = share * (rows.shape[-1] - 1)
    low = onp.floor(place).astype(int)
    high = onp.ceil(place).astype(int)
    weight = {
        "linear": place - low, "lower": 0.0 * place, "higher": 1.0 * (high > low), "midpoint": 0.5 * (high > low),
        "nearest": onp.round(place) - low,
    }[interpolation]  # fmt: skip
    ordered = sort(rows)
    weight = a._wrap(onp.asarray(weight, kind))
    z = get(ordered, key=(..., low)) * (1.0 - weight) + get(ordered, key=(..., high)) * weight
    ends = tuple(range(z.ndim - share.ndim, z.ndim))
    z = moveaxis(z, ends, tuple(range(share.ndim))) if share.ndim else z
    if keepdims:
        z = z.reshape((*share.shape, *(1 if i in axes else n for i, n in enumerate(a.shape))))
    return z if out is None else z.copyto(out)


@composed
def percentile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: Any = None,
               interpolation: str = "linear", keepdims: bool = False) -> Any:  # fmt: skip
    """Return the number below which q percent of the entries lie."""
    share = onp.asarray(q._numbers() if isinstance(q, Variable) else q, onp.float64) / 100
    return quantile(a, share, axis, out, overwrite_input, interpolation, keepdims)


@composed
def histogram(a: Any, bins: Any = 10, range: Any = None, normed: Any = None, weights: Any = None,
              density: Any = None) -> tuple:  # fmt: skip
    """Return how many entries fall into each of the bins (int64, with `density` the density), and the bins' edges."""
    if normed:
        raise NotImplementedError("histogram: normed=True is not implemented; use density=True.")
    edges = bins._numbers() if isinstance(bins, Variable) else bins
    heavy = None if weights is None else weights._numbers()
    counts, edges = onp.histogram(a._numbers(), edges, range, density, heavy)
    kind = a.dtype if a.dtype.kind == "f" else onp.float32
    return a._wrap(counts if counts.dtype.kind == "i" else counts.astype(kind)), a._wrap(edges.astype(kind))


@discrete
def counted(x, *, minlength=0):
    """How often each whole number occurs."""
    return onp.bincount(x.astype(onp.int64), minlength=minlength).astype(x.dtype if x.dtype.kind in "iu" else onp.int64)


@composed
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """Return how often each whole number occurs, or the sum of the weights where it does."""
    if weights is None:
        return counted(x, minlength=minlength)
    places = x._numbers().astype(onp.int64)
    if x.ndim != 1 or x.shape != weights.shape or (places < 0).any():
        raise ArgumentError(
            f"bincount takes whole numbers >= 0 and one weight each, got {x.shape} and {weights.shape}."
        )
    return scatter(weights, key=(places,), shape=(max(minlength, int(places.max(initial=-1)) + 1),))


@composed
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Return a[i + 1] - a[i] of the flattened array, between `to_begin` and `to_end`."""
    before, after = ([] if end is None else [alike(end, ary).reshape(-1)] for end in (to_begin, to_end))
    return concatenate([*before, diff(ary.reshape(-1)), *after])


@composed
def polyval(p: Any, x: Any) -> Any:
    """p[0] x^(n-1) + ... + p[n-1], by Horner's rule."""
    if p.ndim != 1:
        raise ArgumentError(f"polyval: the coefficients are a vector, got shape {p.shape}.")
    z = x * 0 + p[0] * 0
    for i in range(len(p)):
        z = z * x + p[i]
    return z
