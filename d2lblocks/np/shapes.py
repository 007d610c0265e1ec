"""NumPy's further names for moving numbers about, said with the ops of `moves`."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, AxisError
from d2lblocks.np import moves as M
from d2lblocks.np.dtypes import alike
from d2lblocks.np.indexing import raw_key
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.op import composed


@composed
def ravel(x: ndarray, order: str = "C") -> ndarray:
    """Return all entries in one row."""
    return M.reshape(x, newshape=(-1,), order=order)


def shape(a: Any) -> tuple:
    """Return the sizes of the axes."""
    return a.shape if isinstance(a, ndarray) else onp.shape(a)


def ndim(a: Any) -> int:
    """Return the number of axes."""
    return len(shape(a))


@composed
def size(a: ndarray) -> int:
    """Return the number of entries."""
    return a.size


@composed
def atleast_1d(*arys: ndarray) -> Any:
    """Return the arrays with one axis at least."""
    made = [a if a.ndim >= 1 else a.reshape((1,)) for a in arys]
    return made[0] if len(made) == 1 else made


@composed
def atleast_2d(*arys: ndarray) -> Any:
    """Return the arrays with two axes at least; a vector becomes a row."""
    made = [a if a.ndim >= 2 else a.reshape((1, -1)) for a in arys]
    return made[0] if len(made) == 1 else made


@composed
def atleast_3d(*arys: ndarray) -> Any:
    """Return the arrays with three axes at least."""
    made = [a if a.ndim >= 3 else a.reshape((1, -1, 1) if a.ndim < 2 else (*a.shape, 1)) for a in arys]
    return made[0] if len(made) == 1 else made


@composed
def vstack(arrays: Any, out: Any = None) -> ndarray:
    """Put rows under each other."""
    return M.concatenate([atleast_2d(a) for a in arrays], 0, out)


row_stack = vstack


@composed
def hstack(arrays: Any) -> ndarray:
    """Put arrays side by side, along the second axis (vectors: the first)."""
    arrays = [atleast_1d(a) for a in arrays]
    return M.concatenate(arrays, 0 if arrays[0].ndim == 1 else 1)


@composed
def dstack(arrays: Any) -> ndarray:
    """Put arrays behind each other, along the third axis."""
    return M.concatenate([atleast_3d(a) for a in arrays], 2)


@composed
def column_stack(tup: Any) -> ndarray:
    """Put vectors side by side as columns."""
    return M.concatenate([a if a.ndim > 1 else a.reshape((-1, 1)) for a in tup], 1)


@composed
def hsplit(ary: ndarray, indices_or_sections: Any) -> list:
    """Cut along the second axis (vectors: the first)."""
    return M.split(ary, indices_or_sections, 0 if ary.ndim == 1 else 1)


@composed
def vsplit(ary: ndarray, indices_or_sections: Any) -> list:
    """Cut along the first axis."""
    return M.split(ary, indices_or_sections, 0)


@composed
def dsplit(ary: ndarray, indices_or_sections: Any) -> list:
    """Cut along the third axis."""
    return M.split(ary, indices_or_sections, 2)


@composed
def fliplr(m: ndarray) -> ndarray:
    """Reverse the second axis."""
    return M.flip(m, axis=1)


@composed
def flipud(m: ndarray) -> ndarray:
    """Reverse the first axis."""
    return M.flip(m, axis=0)


@composed
def rot90(m: ndarray, k: int = 1, axes: tuple = (0, 1)) -> ndarray:
    """Turn by k quarter turns in the plane of two axes."""
    for _ in range(k % 4):
        m = M.flip(M.swapaxes(m, *axes), axis=axes[0])
    return m


@composed
def broadcast_arrays(*args: ndarray) -> list[ndarray]:
    """Return the arrays broadcast to one shape."""
    common = onp.broadcast_shapes(*[a.shape for a in args])
    return [M.broadcast_to(a, shape=common) for a in args]


@composed
def append(arr: ndarray, values: ndarray, axis: int | None = None) -> ndarray:
    """Return values behind arr."""
    return M.concatenate([arr, values], axis)


def _places(obj: Any, n: int) -> Any:
    """Return the places that obj names along an axis of length n: a number, or an array of numbers."""
    if isinstance(obj, slice):
        return onp.arange(n)[obj]
    raw = onp.asarray(raw_key(obj))
    if raw.dtype == bool:
        return onp.flatnonzero(raw)
    return raw if raw.ndim else int(raw)


@composed
def insert(arr: ndarray, obj: Any, values: Any, axis: int | None = None) -> ndarray:
    """Return arr with `values` put in before the places `obj` along `axis` (None: of the flattened array)."""
    if axis is None:
        arr, axis = arr.reshape(-1), 0
    axis = M._axes(axis, arr.ndim)[0]
    n = arr.shape[axis]
    places, values = _places(obj, n), alike(values, arr)
    values = values.reshape((1,) * (arr.ndim - values.ndim) + values.shape)
    if isinstance(places, int):  # the rows of values run along the axis: all of them go to the one place
        values = M.moveaxis(values, 0, axis)
    count = values.shape[axis] if isinstance(places, int) or places.size == 1 else places.size
    try:
        order = onp.insert(onp.arange(n), places, onp.arange(n, n + count))
    except IndexError:
        raise AxisError(f"insert: {obj!r} is out of bounds for axis {axis} with size {n}.") from None
    new = M.broadcast_to(values, shape=(*arr.shape[:axis], count, *arr.shape[axis + 1 :]))
    return M.get(M.concatenate([arr, new], axis), key=(*(slice(None),) * axis, order))


@composed
def delete(arr: ndarray, obj: Any, axis: int | None = None) -> ndarray:
    """Return arr without the places `obj` along `axis` (None: of the flattened array)."""
    if axis is None:
        arr, axis = arr.reshape(-1), 0
    axis = M._axes(axis, arr.ndim)[0]
    n = arr.shape[axis]
    try:
        order = onp.delete(onp.arange(n), _places(obj, n))
    except IndexError:
        raise AxisError(f"delete: {obj!r} is out of bounds for axis {axis} with size {n}.") from None
    return M.get(arr, key=(*(slice(None),) * axis, order))


@composed
def resize(a: ndarray, new_shape: Any) -> ndarray:
    """Return an array of the new shape, filled with the entries of a over and over; zeros if there are none."""
    if not a.size:
        return wrap(onp.zeros(new_shape, a.dtype))
    return M.get(a.reshape(-1), key=(onp.resize(onp.arange(a.size), new_shape),))


@composed
def diag_indices_from(arr: ndarray) -> tuple:
    """Return the places of the main diagonal of an array whose axes are equally long."""
    if arr.ndim < 2 or len(set(arr.shape)) != 1:
        raise ArgumentError(f"diag_indices_from: all axes must be equally long, and two at least, got {arr.shape}.")
    return tuple(wrap(onp.arange(arr.shape[0])) for _ in arr.shape)


@composed
def unravel_index(indices: Any, shape: tuple, order: Any = "C") -> tuple:
    """Return the places in an array of this shape of flat positions."""
    if isinstance(indices, numbers.Integral):
        return tuple(int(part) for part in onp.unravel_index(int(indices), shape, order))
    return tuple(wrap(part) for part in onp.unravel_index(indices._numbers().astype(onp.int64), shape, order))


@composed
def may_share_memory(a: ndarray, b: ndarray, max_work: Any = None) -> bool:
    """Return whether the two arrays might lie in the same memory."""
    return bool(onp.may_share_memory(a._data, b._data))


@composed
def shares_memory(a: ndarray, b: ndarray, max_work: Any = None) -> bool:
    """Return whether the two arrays lie in the same memory."""
    return bool(onp.shares_memory(a._data, b._data))
