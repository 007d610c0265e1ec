"""Linear moves of numbers, each with its mirror image: sum and broadcast, take and scatter, concatenate and split."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.dtypes import added_in, as_dtype
from d2lblocks.op import composed, discrete, fit, op

# Gluon's shape functions copy; views would let a write to the result change the argument behind the tape's back.


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return axis as a tuple of non-negative numbers; None means all."""
    if axis is None:
        return tuple(range(ndim))
    return onp.lib.array_utils.normalize_axis_tuple(axis, ndim)


def over(axis: Any) -> Any:
    """Return axis as official NumPy takes it: it wants a tuple where Gluon also takes a list."""
    return tuple(axis) if type(axis) is list else axis


def kept(shape: tuple, axis: Any) -> tuple[int, ...]:
    """Return the shape a reduction over `axis` would have with keepdims=True."""
    axes = _axes(axis, len(shape)) if shape else ()  # of one number alone NumPy reduces axis 0 and -1, too
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


# ---------------------------------------------------------------------------------------- sum | broadcast


add_up: Any = onp.add.reduce  # called by place, which is faster; NumPy's stubs know keywords only


@op
def sum(a, *, axis=None, dtype=None, keepdims=False, initial=None):  # noqa: A001 - NumPy's name
    """Sum over `axis` (None: all axes). int32 stays int32, booleans are counted in int64."""
    dtype = as_dtype(dtype) if dtype is not None else a.dtype if a.dtype.kind in "iu" else None
    inner = added_in(a.dtype, dtype) if dtype is not None or a.dtype.itemsize == 2 else None
    total = add_up(a, over(axis), inner, None, bool(keepdims), initial or 0)
    return total if inner is dtype else total.astype(a.dtype if dtype is None else dtype)


@sum.vjp("a")
def _(g, z, a, axis=None, dtype=None, keepdims=False, initial=None):
    return broadcast_to(g.reshape(kept(a.shape, axis)), a.shape)


@op
def broadcast_to(array, *, shape):
    """Repeat along axes of length 1 (and new axes in front) until the shape is reached; -2 stands for the array's own size."""
    shape = shape if isinstance(shape, tuple | list) else (shape,)
    if -2 in shape:
        shape = [array.shape[i - len(shape)] if n == -2 else n for i, n in enumerate(shape)]
    return onp.array(onp.broadcast_to(array, shape))


@broadcast_to.vjp("array")
def _(g, z, array, shape):
    return fit(g, array.shape)


# ---------------------------------------------------------------------------------------- reshape


@op
def reshape(a, *, newshape, order="C"):
    """Give the same numbers another shape; one size may be -1, and 0-d shapes are ()."""
    if order != "C":
        raise NotImplementedError(f"order={order!r} is not implemented for reshape; only 'C'.")
    return onp.reshape(a, newshape).copy()


@reshape.vjp("a")
def _(g, z, a, newshape, order="C"):
    return g.reshape(a.shape)


@op
def squeeze(a, *, axis=None):
    """Drop axes of length 1."""
    return onp.squeeze(a, over(axis)).copy()


@squeeze.vjp("a")
def _(g, z, a, axis=None):
    return g.reshape(a.shape)


@op
def expand_dims(a, *, axis):
    """Insert an axis of length 1."""
    return onp.expand_dims(a, axis).copy()


@expand_dims.vjp("a")
def _(g, z, a, axis):
    return g.reshape(a.shape)


@op
def transpose(a, *, axes=None):
    """Permute the axes (None: reverse them)."""
    return onp.transpose(a, axes).copy(order="C")


@transpose.vjp("a")
def _(g, z, a, axes=None):
    return transpose(g, axes=None if axes is None else tuple(onp.argsort(_axes(axes, a.ndim))))


@composed
def swapaxes(a, axis1, axis2):
    """Exchange two axes."""
    axes = list(range(a.ndim))
    one, two = _axes(axis1, a.ndim)[0], _axes(axis2, a.ndim)[0]
    axes[one], axes[two] = two, one
    return transpose(a, axes=tuple(axes))


@composed
def moveaxis(a, source, destination):
    """Move axes to new places; the others keep their order."""
    sources = _axes(source, a.ndim)
    axes = [i for i in range(a.ndim) if i not in sources]
    for place, axis in sorted(zip(_axes(destination, a.ndim), sources, strict=True)):
        axes.insert(place, axis)
    return transpose(a, axes=tuple(axes))


@op
def flip(m, *, axis=None):
    """Reverse the order along `axis` (None: along all)."""
    return onp.flip(m, axis).copy()


@flip.vjp("m")
def _(g, z, m, axis=None):
    return flip(g, axis=axis)


@op
def roll(a, *, shift, axis=None):
    """Shift cyclically; what falls off one end comes in at the other."""
    return onp.roll(a, shift, axis)


@roll.vjp("a")
def _(g, z, a, shift, axis=None):
    return roll(g, shift=tuple(-s for s in shift) if isinstance(shift, tuple) else -shift, axis=axis)


# ---------------------------------------------------------------------------------------- take | scatter


@op
def get(a, *, key):
    """a[key]: any NumPy index of raw arrays, integers and slices."""
    return onp.array(a[key])


get.title = "x[...]"


@get.vjp("a")
def _(g, z, a, key):
    return scatter(g, key=key, shape=a.shape)


@op
def scatter(g, *, key, shape):
    """Zeros of the given shape with g added at [key]: the mirror of `get`; repeated places add up."""
    full = onp.zeros(shape, g.dtype)
    if is_basic(key):
        full[key] = g
    else:
        onp.add.at(full, key, g)
    return full


@scatter.vjp("g")
def _(gg, z, g, key, shape):
    return get(gg, key=key)


def is_basic(key: Any) -> bool:
    """Return whether a raw index is made of integers, slices, None and ... only: then no place comes twice."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)


@op
def take(a, indices, *, axis=None, mode: Any = "raise"):
    """Pick entries along `axis` by their numbers; 'clip' and 'wrap' forgive numbers that are out of range."""
    return onp.take(a, onp.asarray(indices).astype(onp.int64), axis, mode=mode)


@take.vjp("a")
def _(g, z, a, indices, axis=None, mode="raise"):
    raw = onp.asarray(getattr(indices, "_data", indices)).astype(onp.int64)
    n = a.size if axis is None else a.shape[axis]
    places = raw % n if mode == "wrap" else raw.clip(0, n - 1) if mode == "clip" else raw
    if axis is None:
        return scatter(g, key=(places,), shape=(a.size,)).reshape(a.shape)
    front = (slice(None),) * _axes(axis, a.ndim)[0]
    return scatter(g, key=(*front, places), shape=a.shape)


@op
def repeat(a, *, repeats, axis=None):
    """Repeat every entry `repeats` times along `axis` (None: of the flattened array)."""
    return onp.repeat(a, repeats, axis)


@repeat.vjp("a")
def _(g, z, a, repeats, axis=None):
    n = a.size if axis is None else a.shape[axis]
    places = onp.repeat(onp.arange(n), repeats)
    if axis is None:
        return scatter(g, key=(places,), shape=(a.size,)).reshape(a.shape)
    front = (slice(None),) * _axes(axis, a.ndim)[0]
    return scatter(g, key=(*front, places), shape=a.shape)


@composed
def tile(A, reps):
    """Lay out copies of A, reps times along each axis."""
    reps = (reps,) if isinstance(reps, numbers.Integral) else tuple(reps)
    ndim = max(A.ndim, len(reps))
    shape = (1,) * (ndim - A.ndim) + A.shape
    reps = (1,) * (ndim - len(reps)) + reps
    # (n,) tiled r times is (1, n) broadcast to (r, n), then read in one row; the same per axis.
    between = tuple(k for n in shape for k in (1, n))
    spread = tuple(k for r, n in zip(reps, shape, strict=True) for k in (r, n))
    whole = tuple(r * n for r, n in zip(reps, shape, strict=True))
    return broadcast_to(A.reshape(between), shape=spread).reshape(whole)


# ---------------------------------------------------------------------------------------- concatenate | split


@op
def join(*arrays, axis=0):
    """Put arrays one after the other along an axis they all have."""
    kinds = {a.dtype for a in arrays}
    if len(kinds) > 1 and any(kind.kind == "f" for kind in kinds):
        widest = onp.result_type(*[kind for kind in kinds if kind.kind == "f"])
        arrays = [a.astype(widest, copy=False) for a in arrays]
    return onp.concatenate(arrays, axis)


join.title = "concatenate"


@join.vjps
def _(g, z, wanted, *arrays, axis=0):
    axis = _axes(axis, g.ndim)[0]
    ends = onp.cumsum([a.shape[axis] for a in arrays])
    front = (slice(None),) * axis
    return [
        get(g, key=(*front, slice(int(end) - a.shape[axis], int(end)))) if want is not None else None
        for a, end, want in zip(arrays, ends, wanted, strict=True)
    ]


@composed
def concatenate(seq, axis: int | None = 0, out=None):
    """Put arrays one after the other along `axis` (None: flattened)."""
    if axis is None:
        seq, axis = [a.reshape(-1) for a in seq], 0
    if not len(seq):
        raise ArgumentError("concatenate needs at least one array, got none.")
    return join(*seq, axis=axis) if out is None else join(*seq, axis=axis, out=out)


@composed
def stack(arrays, axis=0, out=None):
    """Put arrays of one shape side by side along a new axis."""
    shapes = {a.shape for a in arrays}
    if len(shapes) != 1:
        raise ArgumentError(f"stack needs arrays of one shape, got {sorted(shapes)}.")
    axis = _axes(axis, len(shapes.pop()) + 1)[0]
    return concatenate([expand_dims(a, axis=axis) for a in arrays], axis, out)


@composed
def split(ary, indices_or_sections, axis=0):
    """Cut into equal sections, or at the given places, along `axis`; gives a list."""
    axis = _axes(axis, ary.ndim)[0]
    n = ary.shape[axis]
    if isinstance(indices_or_sections, numbers.Integral):
        if indices_or_sections < 1 or n % indices_or_sections:
            raise ArgumentError(
                f"array split does not result in an equal division: {n} entries into {indices_or_sections} sections."
            )
        sections = int(indices_or_sections)
        step = n // sections
        cuts = list(range(step, n, step)) if step else [0] * (sections - 1)
    else:
        cuts = [int(i) for i in indices_or_sections]
    front = (slice(None),) * _axes(axis, ary.ndim)[0]
    return [get(ary, key=(*front, slice(a, b))) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]


@composed
def array_split(ary, indices_or_sections, axis=0):
    """Cut into sections along `axis`; the first ones are one longer where it does not come out even."""
    if not isinstance(indices_or_sections, numbers.Integral):
        return split(ary, indices_or_sections, axis)
    if indices_or_sections < 1:
        raise ArgumentError(f"array_split: the number of sections must be at least 1, got {indices_or_sections}.")
    size, extra = divmod(ary.shape[axis], indices_or_sections)
    sizes = [size + 1] * extra + [size] * (indices_or_sections - extra)
    return split(ary, list(onp.cumsum(sizes)[:-1]), axis)


@op
def pad(x, *, pad_width=None, mode: Any = "constant", constant_values=0, reflect_type="even"):
    """Add `constant_values` around x, pad_width = ((before, after), ...) per axis; or its own entries, by `mode`."""
    if pad_width is None:
        raise ArgumentError("pad needs pad_width, such as ((1, 1), (2, 2)).")
    if reflect_type != "even":
        raise NotImplementedError(f"pad: reflect_type={reflect_type!r} is not implemented; only 'even'.")
    settings: Any = {"constant_values": constant_values} if mode == "constant" else {}
    return onp.pad(x, pad_width, mode=mode, **settings)


@pad.vjp("x")
def _(g, z, x, pad_width, mode="constant", constant_values=0, reflect_type="even"):
    if mode == "constant":
        widths = onp.broadcast_to(onp.asarray(pad_width), (x.ndim, 2))
        return get(g, key=tuple(slice(int(w[0]), int(w[0]) + n) for w, n in zip(widths, x.shape, strict=True)))
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise NotImplementedError(
            f"pad(mode={mode!r}) has no derivative; constant, edge, reflect, symmetric, wrap have."
        )
    places = onp.pad(onp.arange(x.size).reshape(x.shape), pad_width, mode=mode)
    return scatter(g, key=(places,), shape=(x.size,)).reshape(x.shape)


@discrete
def nonzero_places(a):
    """Return the places of the entries that are not 0, one array per axis."""
    return tuple(onp.nonzero(onp.atleast_1d(a)))


nonzero_places.title = "nonzero"
