"""Beside official NumPy: its functions on our arrays. What we have ourselves keeps the tape; the rest computes on copies."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as onp

from d2lblocks import op
from d2lblocks.errors import NotRecordedError
from d2lblocks.np.dtypes import DTYPES
from d2lblocks.tape import Variable, state

_HERE = {"numpy": "d2lblocks.np", "numpy.linalg": "d2lblocks.np.linalg"}


def official(function: Callable) -> Callable:
    """Let a function of official NumPy take and give our arrays: on copies, so without a gradient."""

    @functools.wraps(function)
    def on_ours(*args: Any, **kwargs: Any) -> Any:
        return on_copies(function, args, kwargs)

    return on_ours


def on_copies(function: Callable, args: tuple, kwargs: dict) -> Any:
    """Return function(*args, **kwargs) with our arrays handed over as copies, and arrays in the result made ours."""
    result = function(*_copied(args), **_copied(kwargs))
    if state.recording and _has_floats(result) and any(x._node is not None for x in _arrays((args, kwargs))):
        raise NotRecordedError(
            f"{function.__name__} is official NumPy's and has no derivative here. Take .detach() of its arguments, or "
            "compute it outside autograd.record()."
        )
    return _ours(result)


def counterpart(function: Callable) -> Callable | None:
    """Return our function of the same name as an official one, if there is one."""
    module = sys.modules.get(_HERE.get(getattr(function, "__module__", "numpy"), ""))
    return getattr(module, function.__name__, None)


def call(function: Callable, args: tuple, kwargs: dict) -> Any:
    """Call our counterpart of an official function, if it takes these arguments; else the official one on copies."""
    ours = counterpart(function)
    mixed = any(type(x) is onp.ndarray for x in _parts((args, kwargs)))
    if ours is None or mixed or not _takes(ours, args, kwargs):
        return on_copies(function, args, kwargs)
    return ours(*args, **kwargs)


def _takes(function: Callable, args: tuple, kwargs: dict) -> bool:
    """Return whether the arguments fit the signature."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _parts(value: Any) -> Iterator[Any]:
    """Run through nested tuples, lists and dicts."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value


def _arrays(value: Any) -> Iterator[Variable]:
    return (x for x in _parts(value) if isinstance(x, Variable))


def _has_floats(result: Any) -> bool:
    return any(isinstance(x, onp.ndarray | onp.generic) and x.dtype.kind == "f" for x in _parts(result))


def _copied(value: Any) -> Any:
    """Return `value` with every array of ours replaced by an official copy."""
    if isinstance(value, Variable):
        return value._numbers().copy()
    if isinstance(value, list | tuple):
        return type(value)(_copied(part) for part in value)
    return {key: _copied(part) for key, part in value.items()} if isinstance(value, dict) else value


def _ours(value: Any) -> Any:
    """Return `value` with official arrays made ours, where we have their dtype, and scalars made Python numbers."""
    if isinstance(value, onp.generic):
        return value.item()
    if isinstance(value, onp.ndarray):
        return op.wrap(value) if value.dtype in DTYPES else value
    if isinstance(value, tuple):
        return tuple(_ours(part) for part in value)
    return [_ours(part) for part in value] if isinstance(value, list) else value
