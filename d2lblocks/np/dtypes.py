"""The dtypes there are, and the ops that change them."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks.errors import ArrayTypeError
from d2lblocks.op import op
from d2lblocks.tape import Variable

DTYPES = tuple(onp.dtype(name) for name in "float32 float64 float16 int8 uint8 int32 int64 bool".split())
_NAMED = {dtype.name: dtype for dtype in DTYPES}

PINF, NINF, PZERO, NZERO = onp.inf, -onp.inf, 0.0, -0.0


def as_dtype(dtype: Any) -> onp.dtype:
    """Return the NumPy dtype; None is float32. ArrayTypeError lists the supported ones."""
    if dtype is None:
        return DTYPES[0]
    if type(dtype) is str and dtype in _NAMED:
        return _NAMED[dtype]
    try:
        kind = onp.dtype(dtype).newbyteorder("=")  # data of other machines may have their bytes the other way round
    except TypeError:
        kind = None
    if kind is None or isinstance(dtype, int) or kind not in DTYPES:  # NumPy's float64 == None
        known = ", ".join(str(d) for d in DTYPES)
        shown = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or dtype
        raise ArrayTypeError(f"dtype {shown!r} is not supported; expected one of {known}.")
    return kind


@op
def cast(a, *, dtype):
    """The same numbers in another dtype."""
    return a.astype(as_dtype(dtype))


@cast.vjp("a")
def _(g, z, a, dtype):
    # Cutting off decimals is a step function: its derivative is 0.
    return (g if z.dtype.kind == "f" else g * 0).astype(a.dtype)


@op
def copied(a):
    """The same numbers in a new buffer."""
    return onp.array(a)


copied.title = "copy"


@copied.vjp("a")
def _(g, z, a):
    return g


def alike(value: Any, a: Any) -> Any:
    """Return a number, a nested list or an array as an array of the dtype of a."""
    if isinstance(value, Variable):
        return value if value._data.dtype == a.dtype else cast(value, dtype=a.dtype)
    return a._wrap(onp.asarray(value).astype(a.dtype))


def added_in(given: onp.dtype, wanted: onp.dtype | None) -> onp.dtype | None:
    """Return the dtype that a sum adds up in: a float sum is cut at its end, and halves are too coarse to add in."""
    if given.kind == "f" and (given.itemsize == 2 or (wanted is not None and wanted != given)):
        return onp.result_type(given, onp.float32, *([wanted] if wanted is not None and wanted.kind == "f" else []))
    return wanted
