"""What may stand in x[...]: keys of users turned into keys of NumPy, with Gluon's rules for views."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, AxisError, MXNetError, kind_of, plainly
from d2lblocks.np.moves import is_basic
from d2lblocks.tape import Variable


def raw_key(key: Any) -> Any:
    """Return `key` with our arrays unwrapped. Float arrays are positions, since floats are the default dtype.

    Arrays are copied: the tape keeps the key, and a later write into an index must not move the gradient.
    """
    if type(key) is int or (type(key) is slice and not _has_arrays(key)):
        return key
    if isinstance(key, tuple):
        return tuple([_raw_part(part) for part in key])
    return _raw_part(key)


def _has_arrays(key: slice) -> bool:
    return isinstance(key.stop, Variable) or isinstance(key.start, Variable) or isinstance(key.step, Variable)


def _raw_part(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, int | bool | onp.integer):
        return int(part) if isinstance(part, onp.integer) else part
    if isinstance(part, slice):
        return slice(
            *(int(p._numbers().item()) if isinstance(p, Variable) else p for p in (part.start, part.stop, part.step))
        )
    if isinstance(part, Variable):
        raw = part._numbers()
        return raw.astype(onp.int64 if raw.dtype.kind == "f" else raw.dtype)
    if isinstance(part, onp.ndarray):
        return part.astype(onp.int64 if part.dtype.kind == "f" else part.dtype)
    if isinstance(part, list | range | tuple):
        whole = onp.asarray([p._numbers() if isinstance(p, Variable) else p for p in part])
        return whole.astype(onp.int64) if whole.dtype.kind == "f" or not whole.size else whole
    raise ArgumentError(
        f"NDArray does not support slicing with key {part!r} of type {kind_of(part)}; an index is a whole number, a slice, "
        "None, ... or an array of whole numbers or truths."
    )


_NUMBERS = (int, float, onp.ndarray, onp.generic)


def raw_value(value: Any) -> Any:
    """Return what is to be written into an array as NumPy takes it, if it is made of numbers."""
    if type(value) is float or isinstance(value, _NUMBERS):
        return value
    if isinstance(value, Variable):
        return value._data
    try:
        raw = onp.asarray(value)
    except ValueError:
        raise ArgumentError("The rows of a nested list that is written into an array have different lengths.") from None
    if raw.dtype.kind not in "fiub":
        raise ArrayTypeError(f"Only numbers can be written into an array, got {value!r} ({kind_of(value)}).")
    return raw


def explain_key(problem: Exception, raw: onp.ndarray) -> Exception:
    """Return the error for a key that NumPy refused: what it was, and the shape it met."""
    if isinstance(problem, MXNetError):
        return problem
    if isinstance(problem, IndexError):
        return AxisError(f"{problem} (array of shape {raw.shape})")
    return ArgumentError(f"{plainly(str(problem))} (array of shape {raw.shape} and dtype {raw.dtype})")


def part_of(data: onp.ndarray, raw: Any) -> tuple[onp.ndarray, bool]:
    """Return data[raw], and whether it is a window: a basic key whose entries are neighbours, read row by row.

    A matrix whose columns lie side by side in memory follows the same rule, as if it lay there row by row.
    """
    if not is_basic(raw):
        return onp.array(data[raw]), False
    key = (*raw, ...) if type(raw) is tuple and ... not in raw else (raw, ...) if type(raw) is int else raw
    view = data[key]  # the ... makes a single entry an array too
    as_rows = view if data.flags.c_contiguous else onp.empty(data.shape, bool)[key]
    return (view, True) if as_rows.flags.c_contiguous else (view.copy(), False)


def places_along(axis: Any, places: Any) -> tuple:
    """Return the NumPy key of the entries that stand, along `axis`, at these places, as argsort gives them."""
    key: list[Any] = list(onp.indices(places.shape, sparse=True))
    key[axis] = places
    return tuple(key)
