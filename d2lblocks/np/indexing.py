"""What may stand in x[...]: keys of users turned into keys of NumPy, with Gluon's rules for views."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, AxisError
from d2lblocks.tape import Variable


def raw_key(key: Any) -> Any:
    """Return `key` with our arrays unwrapped. Float arrays are positions, since floats are the default dtype."""
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
            *(int(p._data.item()) if isinstance(p, Variable) else p for p in (part.start, part.stop, part.step))
        )
    if isinstance(part, Variable):
        raw = part._data
        return raw.astype(onp.int64) if raw.dtype.kind == "f" else raw
    if isinstance(part, onp.ndarray):
        return part.astype(onp.int64) if part.dtype.kind == "f" else part
    if isinstance(part, list | range | tuple):
        whole = onp.asarray([p._data if isinstance(p, Variable) else p for p in part])
        return whole.astype(onp.int64) if whole.dtype.kind == "f" or not whole.size else whole
    raise ArgumentError(f"NDArray does not support slicing with key {part} of type {type(part)}.")


def explain_key(problem: Exception, raw: onp.ndarray, key: Any) -> Exception:
    """Return the error for a key that NumPy refused: what it was, and the shape it met."""
    if isinstance(problem, IndexError):
        return AxisError(f"{problem} (array of shape {raw.shape})")
    return ArgumentError(f"{problem} (array of shape {raw.shape}, key {key!r})")
