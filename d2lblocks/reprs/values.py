"""Values: what the numbers of an array are like, in a handful of numbers."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as onp

BINS = 16
PART = 1 << 16  # numbers that are looked at at a time
HUGE = 1e150  # the square of larger numbers is beyond the largest number
EXACT = 1 << 20  # of larger arrays so many numbers go into the histogram


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
    sampled: bool  # is the histogram that of some of the numbers?
    digest: int  # of all bytes, so that any change of a number is a difference; 0 if nobody asked

    @classmethod
    def of(cls, raw: onp.ndarray, digest: bool = True) -> Values:
        """Return what `raw` is like; all but the histogram is exact at every size."""
        sign = zlib.crc32(onp.ascontiguousarray(raw).data) if raw.size and digest else 0
        flat, bad = raw.ravel("K"), 0  # a view where the memory is in one piece, in either order
        if flat.size and not onp.isfinite(flat.min() * 0.0 + flat.max() * 0.0):  # both carry a nan along
            flat = flat[onp.isfinite(flat)]
            bad = raw.size - flat.size
        if not flat.size:
            return cls(raw.size, None, None, None, None, (), bad, False, sign)
        lo, hi = float(flat.min()), float(flat.max())
        mean, std = moments(flat, max(-lo, hi))
        bins = binned(sampled(flat, EXACT), lo, hi, BINS if hi > lo else 1)
        return cls(raw.size, mean, std, lo, hi, tuple(bins.tolist()), bad, flat.size > EXACT, sign)


def moments(flat: onp.ndarray, top: float) -> tuple[float, float]:
    """Return mean and standard deviation of finite numbers as far as `top` from 0: some at a time, in float64."""
    scale = top if top > HUGE else 1.0
    n, mean, squares = 0, 0.0, 0.0  # squares: the sum of squared distances from the mean (Chan, Golub, LeVeque 1979)
    for start in range(0, flat.size, PART):
        x = flat[start : start + PART].astype("f8")
        if scale != 1:
            x /= scale
        m = float(x.sum() / x.size)
        away = x - m
        squares += float(away @ away) + (m - mean) ** 2 * n * x.size / (n + x.size)
        n += x.size
        mean += (m - mean) * (x.size / n)
    return mean * scale, math.sqrt(squares / n) * scale


def sampled(flat: onp.ndarray, most: int) -> onp.ndarray:
    """Return about `most` of the numbers, or all: one from each stretch, at places without a pattern.

    Every k-th would be of the same few columns of a matrix.
    """
    if flat.size <= most:
        return flat
    every = -(-flat.size // most)
    starts = onp.arange(0, flat.size - every + 1, every)
    return flat[starts + (_places(most)[: len(starts)] * every).astype(onp.intp)]


@cache
def _places(n: int) -> onp.ndarray:
    return onp.random.default_rng(0).random(n)


def binned(flat: onp.ndarray, lo: float, hi: float, bins: int) -> onp.ndarray:
    """Return how many of finite numbers lie in each of equal steps from lo to hi; all are in the first if these are equal."""
    if lo == hi:
        return onp.bincount([0], [flat.size], bins).astype(onp.int64)
    x, width = flat.astype("f8"), hi - lo
    if not onp.isfinite(width):  # the range of the largest numbers is beyond the largest number
        x, lo, width = x / 2, lo / 2, hi / 2 - lo / 2
    places = onp.minimum(((x - lo) / width * bins).astype(onp.intp), bins - 1)
    return onp.bincount(places, minlength=bins)
