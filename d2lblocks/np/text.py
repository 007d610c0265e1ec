"""Arrays as text: NumPy's, with float32 as the silent dtype."""

from __future__ import annotations

import re
from typing import Any

import numpy as onp


def array_text(raw: onp.ndarray) -> str:
    """Return the repr: array([1., 2.]), array([1, 2], dtype=int64), array([], shape=(3, 0))."""
    text = onp.array_repr(raw)
    if raw.size:  # NumPy 2 adds the shape of arrays that are shown in part; the original does not
        text = re.sub(r",\s*shape=\([^)]*\)", "", text)
    if raw.dtype == onp.float32:
        return re.sub(r",\s*dtype=float32\)$", ")", text)
    if "dtype=" in text:
        return _broken(re.sub(r",\s*dtype=.*$", "", text, flags=re.S), raw.dtype) if raw.size else text
    # NumPy leaves int64 and float64 unsaid
    return text if raw.dtype.kind == "b" else f"{text[:-1]}, dtype={raw.dtype})"


def _broken(head: str, dtype: onp.dtype) -> str:
    """Return head and dtype in one line if they fit, else in two, as NumPy breaks lines."""
    tail = f"dtype={dtype})"
    column = len(head) - (head.rfind("\n") + 1) + 1
    return f"{head},{' ' if column + 1 + len(tail) <= onp.get_printoptions()['linewidth'] else chr(10) + ' ' * 6}{tail}"


def formatted(raw: onp.ndarray, spec: str) -> Any:
    """Return format(number, spec) of a 0-d array; arrays with axes are only shown whole."""
    if not raw.ndim:
        return format(raw.item(), spec)
    if spec:
        raise TypeError(f"Cannot format d2lblocks.np.ndarray of shape {raw.shape} with format_spec {spec!r}.")
    return str(raw)
