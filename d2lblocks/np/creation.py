"""Arrays out of nothing: array, zeros, ones, full, arange, linspace, eye. float32 unless told otherwise."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as onp

from d2lblocks.context import Context, kept
from d2lblocks.errors import ArgumentError, ArrayTypeError
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.indexing import raw_value
from d2lblocks.np.moves import broadcast_to
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.op import composed
from d2lblocks.tape import Variable, state


def _made(raw: onp.ndarray, ctx: Context | None) -> ndarray:
    return wrap(raw, kept(ctx))


def _shape(shape: Any) -> tuple[int, ...]:
    """Return shape as a tuple of sizes, checked before anything is allocated."""
    if isinstance(shape, ndarray):
        shape = shape.tolist()
    sizes = tuple(shape) if isinstance(shape, list | tuple | range) else (shape,)
    for n in sizes:
        if not isinstance(n, int | onp.integer) or isinstance(n, bool):
            raise ArrayTypeError(f"A shape is made of whole numbers, got {n!r} in {shape!r}.")
        if n < 0:
            raise ArgumentError(f"A size cannot be negative, got {shape!r}.")
    return tuple(int(n) for n in sizes)


def _allocated(make: Any, shape: Any, dtype: Any, order: str) -> onp.ndarray:
    if order != "C":
        raise NotImplementedError(f"order={order!r} is not implemented; only 'C'.")
    sizes, kind = _shape(shape), as_dtype(dtype)
    if len(sizes) > 64:
        raise ArgumentError(f"An array has at most 64 axes, got {len(sizes)}.")
    count = 1
    for n in sizes:
        count *= max(n, 1)
    try:
        return make(sizes, kind)
    except (MemoryError, ValueError):
        raise MemoryError(
            f"An array of shape {sizes} and dtype {kind} needs {count * kind.itemsize / 2**30:,.1f} GiB, "
            "which cannot be allocated. Take smaller sizes."
        ) from None


def array(object: Any, dtype: Any = None, ctx: Context | None = None, device: Context | None = None) -> ndarray:
    """Return a new array of numbers, nested lists, or arrays.

    Arrays and NumPy scalars keep their dtype; lists and Python numbers become float32.
    """
    if isinstance(object, Variable):
        raw = object._numbers()
    elif isinstance(object, onp.ndarray | onp.generic):
        raw = onp.asarray(object)
    else:
        raw = _from_python(object)
        dtype = as_dtype(dtype)
    kind = raw.dtype if dtype is None else as_dtype(dtype)
    if raw.dtype.kind in "OUSc" or raw.dtype.kind not in "fiub":
        raise ArrayTypeError(
            f"np.array makes arrays of numbers, got {_named(raw.dtype)} such as {raw.reshape(-1)[:1]}."
        )
    return _made(raw.astype(as_dtype(kind)), ctx or device)


def _from_python(object: Any) -> onp.ndarray:
    """Return nested lists as a raw array, or say which entry is no number."""
    if isinstance(object, list | tuple):
        object = [part._numbers() if isinstance(part, Variable) else _unwrapped(part) for part in object]
    try:
        raw = onp.asarray(object)
    except ValueError:
        raise RaggedError(f"np.array: the rows of {_short(object)} have different lengths.") from None
    if raw.dtype == object_dtype or raw.dtype.kind in "USc":
        wrong = [v for v in _leaves(object) if not isinstance(v, numbers.Real)]
        if not wrong:
            return onp.asarray(object, onp.float64)  # whole numbers beyond 64 bits
        bad = wrong[0]
        raise ArrayTypeError(f"np.array makes arrays of numbers, got {bad!r} ({type(bad).__name__}).")
    return raw


def _named(kind: onp.dtype) -> str:
    return {"U": "text", "S": "bytes", "O": "objects"}.get(kind.kind, str(kind))


def _unwrapped(part: Any) -> Any:
    if isinstance(part, list | tuple):
        return [p._numbers() if isinstance(p, Variable) else _unwrapped(p) for p in part]
    return part


def _leaves(value: Any) -> Any:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) < 60 else text[:57] + "..."


object_dtype = onp.dtype(object)


class RaggedError(ArrayTypeError, ArgumentError):
    """A ragged list: its type is right and its shape is wrong, so both `except` clauses find it."""


def zeros(shape: Any, dtype: Any = None, order: str = "C", ctx: Context | None = None) -> ndarray:
    """Return an array of zeros."""
    return _made(_allocated(onp.zeros, shape, dtype, order), ctx)


def ones(shape: Any, dtype: Any = None, order: str = "C", ctx: Context | None = None) -> ndarray:
    """Return an array of ones."""
    return _made(_allocated(onp.ones, shape, dtype, order), ctx)


def empty(shape: Any, dtype: Any = None, order: str = "C", ctx: Context | None = None) -> ndarray:
    """Return an array of whatever stood in memory."""
    return _made(_allocated(onp.empty, shape, dtype, order), ctx)


@composed
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", ctx: Any = None, out: Any = None) -> ndarray:
    """Return an array filled with one value; bool stays bool, other Python numbers become float32."""
    if isinstance(fill_value, ndarray) and fill_value._node is not None and state.recording and out is None:
        return broadcast_to(fill_value.astype(as_dtype(dtype or fill_value.dtype), copy=False), shape=_shape(shape))
    if dtype is None:
        dtype = fill_value.dtype if isinstance(fill_value, ndarray) else None
        dtype = bool if isinstance(fill_value, bool | onp.bool_) else dtype
    fill_value = raw_value(fill_value)
    made = _made(_allocated(onp.empty, shape, dtype, order), ctx)
    made._data[...] = fill_value
    return made if out is None else made.copyto(out)


@composed
def zeros_like(a: ndarray, dtype: Any = None, order: str = "C", ctx: Any = None, out: Any = None) -> ndarray:
    """Return zeros of the shape and dtype of a."""
    return full_like(a, 0, dtype, order, ctx, out)


@composed
def ones_like(a: ndarray, dtype: Any = None, order: str = "C", ctx: Any = None, out: Any = None) -> ndarray:
    """Return ones of the shape and dtype of a."""
    return full_like(a, 1, dtype, order, ctx, out)


@composed
def full_like(
    a: ndarray, fill_value: Any, dtype: Any = None, order: str = "C", ctx: Any = None, out: Any = None
) -> Any:
    """Return an array of the shape and dtype of a, filled with one value."""
    return full(a.shape, fill_value, a.dtype if dtype is None else dtype, order, a.ctx if ctx is None else ctx, out)


@composed
def empty_like(
    prototype: ndarray, dtype: Any = None, order: str = "C", subok: bool = False, shape: Any = None
) -> ndarray:
    """Return an uninitialized array of the shape and dtype of the prototype."""
    shape, dtype = prototype.shape if shape is None else shape, prototype.dtype if dtype is None else dtype
    return empty(shape, dtype, ctx=prototype.ctx)


@composed
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, ctx: Context | None = None) -> ndarray:
    """Return start, start + step, ... below stop; float32 unless told otherwise."""
    bounds = [v.item() if isinstance(v, ndarray) else v for v in (start, stop, 1 if step is None else step)]
    if stop is None:
        bounds[:2] = 0, bounds[0]
    if not all(isinstance(v, numbers.Real) for v in bounds):
        raise ArrayTypeError(f"arange takes numbers, got start {bounds[0]!r}, stop {bounds[1]!r}, step {bounds[2]!r}.")
    if not bounds[2]:
        raise ArgumentError("arange needs a step that is not 0.")
    return _made(onp.arange(*bounds).astype(as_dtype(dtype)), ctx)


@composed
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0,
    ctx: Context | None = None,
) -> Any:  # fmt: skip
    """Return `num` evenly spaced numbers from start to stop."""
    raw, step = onp.linspace(float(start), float(stop), _shape(num)[0], endpoint, retstep=True, axis=axis)
    made = _made(raw.astype(as_dtype(dtype)), ctx)
    return (made, float(step)) if retstep else made


@composed
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: float = 10.0, dtype: Any = None, axis: int = 0,
    ctx: Context | None = None,
) -> ndarray:  # fmt: skip
    """Return `num` numbers from base^start to base^stop, evenly spaced in their logarithm."""
    return _made(onp.logspace(float(start), float(stop), num, endpoint, base, axis=axis).astype(as_dtype(dtype)), ctx)


@composed
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, ctx: Context | None = None) -> ndarray:
    """Return a matrix with ones on the k-th diagonal."""
    sizes = _shape((N, N if M is None else M))
    return _made(onp.eye(*sizes, k=k, dtype=as_dtype(dtype)), ctx)


def identity(n: int, dtype: Any = None, ctx: Context | None = None) -> ndarray:
    """Return the identity matrix of size n."""
    return eye(n, dtype=dtype, ctx=ctx)


@composed
def indices(dimensions: Any, dtype: Any = "int32", ctx: Context | None = None) -> ndarray:
    """Return the grid of positions: one array of row numbers, one of column numbers, ..."""
    return _made(onp.indices(_shape(dimensions)).astype(as_dtype(dtype)), ctx)


@composed
def meshgrid(*xi: ndarray, indexing: str = "xy", sparse: bool = False, copy: bool = True) -> list[ndarray]:
    """Return coordinate matrices of coordinate vectors."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing is 'xy' or 'ij', got {indexing!r}.")
    places = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        places[:2] = 1, 0
    sizes = [x.size for x in xi]
    for i in range(len(xi)):
        sizes[places[i]] = xi[i].size
    grids = [x.reshape([-1 if k == place else 1 for k in range(len(xi))]) for x, place in zip(xi, places, strict=True)]
    return grids if sparse else [broadcast_to(g, shape=tuple(sizes)) for g in grids]


@composed
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> ndarray:
    """Return a matrix with ones on and below the k-th diagonal."""
    return wrap(onp.tri(N, M, k, as_dtype(dtype)))


def window(name: str) -> Any:
    """Return the window function of this NumPy name, giving our arrays."""

    def made(M: int, dtype: Any = None, ctx: Context | None = None) -> ndarray:
        return _made(getattr(onp, name)(M).astype(as_dtype(dtype)), ctx)

    made.__name__, made.__doc__ = name, f"The {name} window of M points."
    return made


hanning, hamming, blackman = window("hanning"), window("hamming"), window("blackman")
