"""Values: what the numbers of an array are like, in a handful of numbers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as onp

BINS = 16
EXACT = 1 << 20  # of larger arrays every k-th number goes into mean, deviation and histogram


@dataclass(frozen=True)
class Values:
    """Mean, deviation, range and histogram of the finite numbers of an array, at one moment."""

    size: int
    mean: float | None  # None where there is no finite number
    std: float | None
    min: float | None
    max: float | None
    bins: tuple[int, ...]  # counts in equal steps from min to max; one bin if these are equal
    nonfinite: int
    sampled: bool  # are mean, deviation and histogram those of every k-th number?
    digest: int  # of all bytes, so that any change of a number is a difference; 0 if nobody asked

    @classmethod
    def of(cls, raw: onp.ndarray, digest: bool = True) -> Values:
        """Return what `raw` is like; range and finiteness are exact at every size."""
        sign = zlib.crc32(onp.ascontiguousarray(raw).data) if raw.size and digest else 0
        flat, bad = raw.ravel("K"), 0  # a view where the memory is in one piece, in either order
        if flat.size and not onp.isfinite(flat.min() * 0.0 + flat.max() * 0.0):  # both carry a nan along
            flat = flat[onp.isfinite(flat)]
            bad = raw.size - flat.size
        if not flat.size:
            return cls(raw.size, None, None, None, None, (), bad, False, sign)
        lo, hi = float(flat.min()), float(flat.max())
        sampled = flat.size > EXACT
        x = (flat[:: -(-flat.size // EXACT)] if sampled else flat).astype("f8")
        mean = float(x.sum() / x.size)
        away = x - mean
        return cls(raw.size, mean, float(onp.sqrt(away @ away / x.size)), lo, hi, _bins(x, lo, hi), bad, sampled, sign)


def _bins(x: onp.ndarray, lo: float, hi: float) -> tuple[int, ...]:
    if lo == hi:
        return (x.size,)
    width = hi - lo
    if not onp.isfinite(width):  # the range of the largest numbers is beyond the largest number
        x, lo, width = x / 2, lo / 2, hi / 2 - lo / 2
    places = onp.minimum(((x - lo) / width * BINS).astype(onp.intp), BINS - 1)
    return tuple(onp.bincount(places, minlength=BINS).tolist())
