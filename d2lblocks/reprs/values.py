"""Values: what the numbers of an array are like, in a handful of numbers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as onp

BINS = 16
EXACT = 1 << 20  # of larger arrays every k-th number is looked at


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
    sampled: bool  # was every k-th number looked at, instead of all?
    digest: int  # of all bytes: equal numbers, equal digest

    @classmethod
    def of(cls, raw: onp.ndarray) -> Values:
        """Return what `raw` is like."""
        flat = raw.ravel("K")  # a view where the memory is in one piece, in either order
        digest = zlib.crc32(onp.ascontiguousarray(raw).data) if raw.size else 0
        sampled = flat.size > EXACT
        x = flat[:: -(-flat.size // EXACT)] if sampled else flat
        if x.dtype.kind != "f" or x.dtype.itemsize < 8:
            x = x.astype("f8")
        finite = onp.isfinite(x)
        bad = 0
        if not finite.all():
            bad = int(x.size - finite.sum())
            x = x[finite]
        if not x.size:
            return cls(raw.size, None, None, None, None, (), bad, sampled, digest)
        lo, hi, mean = float(x.min()), float(x.max()), float(x.sum() / x.size)
        away = x - mean
        return cls(
            raw.size, mean, float(onp.sqrt(away @ away / x.size)), lo, hi, _bins(x, lo, hi), bad, sampled, digest
        )


def _bins(x: onp.ndarray, lo: float, hi: float) -> tuple[int, ...]:
    if lo == hi:
        return (x.size,)
    width = hi - lo
    if not onp.isfinite(width):  # the range of the largest numbers is beyond the largest number
        x, lo, width = x / 2, lo / 2, hi / 2 - lo / 2
    places = onp.minimum(((x - lo) / width * BINS).astype(onp.intp), BINS - 1)
    return tuple(onp.bincount(places, minlength=BINS).tolist())
