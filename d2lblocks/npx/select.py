"""Choosing entries: pick, one_hot, topk, sequence_mask, gather_nd, slice."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.elementwise import where
from d2lblocks.np.indexing import places_along
from d2lblocks.np.moves import _axes, expand_dims, get, scatter
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.op import composed, discrete, op


def _grid(index: Any, shape: tuple, axis: int, mode: str) -> tuple:
    """Return the NumPy key that takes, at every other place, entry `index` along `axis`."""
    axis = _axes(axis, len(shape))[0]
    rest = tuple(n for i, n in enumerate(shape) if i != axis)
    places = onp.asarray(getattr(index, "_data", index)).reshape(rest).astype(onp.int64)
    places = places % shape[axis] if mode == "wrap" else places.clip(0, shape[axis] - 1)
    key: list[Any] = list(onp.indices(rest, sparse=True))
    key.insert(axis, places)
    return tuple(key)


@op
def picked(data, index, *, axis=-1, mode="clip"):
    """data[i, index[i]] along `axis`."""
    return data[_grid(index, data.shape, axis, mode)]


picked.title = "pick"


@picked.vjp("data")
def _(g, z, data, index, axis=-1, mode="clip"):
    return scatter(g, key=_grid(index, data.shape, axis, mode), shape=data.shape)


def pick(data: ndarray, index: ndarray, axis: int = -1, keepdims: bool = False, mode: str = "clip") -> ndarray:
    """Take one entry per row, at the position `index` gives: (n, k), (n,) -> (n,)."""
    z = picked(data, index, axis=axis, mode=mode)
    if data.ndim == 1 and not keepdims:  # a vector is one row; its index is one number, with an axis or without
        return z.reshape(getattr(index, "shape", ()))
    return expand_dims(z, axis=axis) if keepdims else z


@discrete
def one_hot_of(indices, *, depth, on_value, off_value, dtype):
    """A row of off_value with on_value at the index."""
    return onp.where(onp.arange(depth) == indices[..., None].astype(onp.int64), on_value, off_value).astype(dtype)


one_hot_of.title = "one_hot"


def one_hot(indices: ndarray, depth: int, on_value: float = 1, off_value: float = 0, dtype: Any = "float32") -> ndarray:
    """Return a row of zeros with a 1 at the index, per entry: (...) -> (..., depth); an index out of range gives zeros."""
    return one_hot_of(indices, depth=depth, on_value=on_value, off_value=off_value, dtype=as_dtype(dtype))


@composed
def topk(data: ndarray, axis: int = -1, k: int = 1, ret_typ: str = "indices", is_ascend: bool = False,
         dtype: Any = "float32") -> Any:  # fmt: skip
    """Return positions ('indices'), 'value', 'both' or the 'mask' of the k largest entries along `axis` (None: of all).

    k = 0 stands for all entries.
    """
    if axis is None:
        data, axis = data.reshape(-1), 0
    raw = data._numbers()
    n = raw.shape[_axes(axis, raw.ndim)[0]]
    if not 0 <= k <= n:
        raise ArgumentError(f"topk: k must be between 0 and {n}, the length of axis {axis}, got {k}.")
    order = onp.argsort(raw if is_ascend else -raw, axis=axis, kind="stable")
    order = onp.take(order, range(k or n), axis)
    indices = wrap(order.astype(as_dtype(dtype)), data._ctx)
    if ret_typ == "indices":
        return indices
    if ret_typ == "mask":
        mask = onp.zeros_like(raw)
        onp.put_along_axis(mask, order, 1, axis)
        return wrap(mask, data._ctx)
    values = get(data, key=places_along(axis, order))
    if ret_typ == "value":
        return values
    if ret_typ == "both":
        return [values, indices]
    raise ArgumentError(f"topk: unknown ret_typ {ret_typ!r}; expected indices, value, mask or both.")


@composed
def sequence_mask(data: ndarray, sequence_length: Any = None, use_sequence_length: bool = False, value: float = 0,
                  axis: int = 0) -> ndarray:  # fmt: skip
    """Replace by `value` what lies behind each sequence's length; time along `axis` (0 or 1), batch along the other."""
    if not use_sequence_length or sequence_length is None:
        return data
    if axis not in (0, 1):
        raise ArgumentError(f"sequence_mask: time is axis 0 or 1, got {axis}.")
    steps, lengths = onp.arange(data.shape[axis]), sequence_length._numbers()
    inside = steps[:, None] < lengths if axis == 0 else steps < lengths[:, None]
    inside = inside.reshape(inside.shape + (1,) * (data.ndim - 2))
    return where(wrap(onp.broadcast_to(inside, data.shape).copy(), data._ctx), data, float(value))


@composed
def nonzero(a: ndarray) -> ndarray:
    """Return the places of the entries that are not 0 as rows of an int64 array: (places, axes)."""
    return wrap(onp.argwhere(a._numbers()), a._ctx)


@composed
def gather_nd(data: ndarray, indices: ndarray) -> ndarray:
    """data[indices[0], indices[1], ...]: one row of positions per leading axis."""
    return get(data, key=tuple(indices._numbers().astype(onp.int64)))


def slice(data: ndarray, begin: Any, end: Any, step: Any = ()) -> ndarray:  # noqa: A001 - the original's name
    """data[begin[0]:end[0]:step[0], ...]; None leaves a side open."""
    steps = tuple(step or ()) or (None,) * len(begin)
    return get(data, key=tuple(builtins.slice(*part) for part in zip(begin, end, steps, strict=True)))
