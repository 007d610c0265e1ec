"""Shapes by rule and shapes taken from other arrays: reshape with its codes, reshape_like, arange_like, shape_array."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.context import Context
from d2lblocks.errors import ArgumentError
from d2lblocks.np.ndarray import ndarray, wrap
from d2lblocks.op import composed


def _coded(shape: tuple, newshape: tuple) -> tuple:
    """Return newshape with the codes -2 ... -6 replaced by sizes of `shape`."""
    rest, codes, made = list(shape), list(newshape), []
    while codes:
        code = codes.pop(0)
        if code in (-2, -3, -5) and len(rest) < (2 if code == -5 else 1) or code == -6 and (not rest or len(codes) < 2):
            raise ArgumentError(f"reshape: too few axes for the code {code} in {newshape}, the shape is {shape}.")
        if code == -2:
            made.append(rest.pop(0))
        elif code == -3:
            if rest.pop(0) != 1:
                raise ArgumentError(f"reshape: -3 only skips an axis of length 1; {newshape} does not fit {shape}.")
        elif code == -4:
            made += rest
            rest = []
        elif code == -5:
            made.append(rest.pop(0) * rest.pop(0))
        elif code == -6:
            made += _divided(rest.pop(0), codes.pop(0), codes.pop(0))
        else:
            made.append(code)
            rest = rest[1:]
    return tuple(made)


def _divided(n: int, left: int, right: int) -> list[int]:
    """Return n as left * right, one of which may be -1."""
    left = n // right if left == -1 else left
    right = n // left if right == -1 else right
    if left * right != n:
        raise ArgumentError(f"reshape: an axis of length {n} cannot be split into {left} times {right}.")
    return [left, right]


@composed
def reshape(a: ndarray, newshape: Any, reverse: bool = False, order: str = "C") -> ndarray:
    """Return the numbers in another shape, described by sizes and codes.

    -1: what is left; -2: keep this axis; -3: drop this axis of length 1; -4: keep all axes left; -5: join two axes;
    -6, p, q: split this axis into p times q (one of them may be -1). With `reverse` the codes are read from the right.
    """
    codes = tuple(newshape) if isinstance(newshape, tuple | list) else (newshape,)
    sizes = _coded(a.shape[::-1], codes[::-1])[::-1] if reverse else _coded(a.shape, codes)
    return a.reshape(sizes, order=order)


@composed
def arange_like(data: ndarray, start: float = 0, step: float = 1, repeat: int = 1, ctx: Context | None = None,
                axis: int | None = None) -> ndarray:  # fmt: skip
    """Return start, start + step, ... in the shape of data, or as long as one of its axes."""
    n = data.size if axis is None else data.shape[axis]
    raw = (start + step * (onp.arange(n) // repeat)).astype(data.dtype)
    return wrap(raw.reshape(data.shape) if axis is None else raw)


@composed
def reshape_like(lhs: ndarray, rhs: ndarray, lhs_begin: Any = None, lhs_end: Any = None, rhs_begin: Any = None,
                 rhs_end: Any = None) -> ndarray:  # fmt: skip
    """Give lhs the shape of rhs, or only a range of axes."""
    middle = rhs.shape[rhs_begin:rhs_end]
    if lhs_begin is None and lhs_end is None:
        return lhs.reshape(middle)
    tail = () if lhs_end is None else lhs.shape[lhs_end:]
    return lhs.reshape((*lhs.shape[: lhs_begin or 0], *middle, *tail))


@composed
def shape_array(data: ndarray) -> ndarray:
    """Return the shape as an int64 array."""
    return wrap(onp.array(data.shape, onp.int64))
