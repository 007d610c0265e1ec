"""Memory for arrays: it begins where a line of the caches does, and is used again when nobody sees it any more.

A processor reads lines of 64 bytes, as many as its widest vectors have. In an array that begins amid a line every vector
lies in two, and a product of few rows takes half as long again. And the system clears every page of new memory before it
is filled.
"""

from __future__ import annotations

import math
from sys import getrefcount
from typing import Any
from weakref import getweakrefcount

import numpy as onp

LINE = 64  # bytes
SMALL = 1024  # bytes of an array for which it does not matter
LARGE = 2**20  # bytes of zeros that the system had better make when they are first touched, wherever they begin
SPARE = 2**26  # bytes of a result for which a second array is kept


class Room(onp.ndarray):
    """Memory in which one array lies. For NumPy it is of another class, so a view of the array holds the array itself."""


def empty(shape: tuple, dtype: Any, order: Any = "C", clear: bool = False) -> onp.ndarray:
    """Return an array with any numbers in it, or zeros, which begins where a line does."""
    dtype = onp.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < SMALL:
        return (onp.zeros if clear else onp.empty)(shape, dtype, order)
    room = Room(nbytes + LINE, onp.uint8)
    if clear:
        room.fill(0)
    return onp.ndarray(shape, dtype, room, -room.ctypes.data % LINE, order=order)


def zeros_like(a: onp.ndarray) -> onp.ndarray:
    """Return zeros in the shape of an array, which lie as its numbers do."""
    if a.nbytes > LARGE or not (a.flags.c_contiguous or a.flags.f_contiguous):
        return onp.zeros_like(a)
    return empty(a.shape, a.dtype, "C" if a.flags.c_contiguous else "F", clear=True)


def whole(a: onp.ndarray) -> bool:
    """Return whether an array is no view of another."""
    return a.base is None or type(a.base) is Room


def placed(a: onp.ndarray, order: Any) -> onp.ndarray:
    """Return the array, or a copy if it does not lie in this order or does not begin where a line does."""
    lies = a.flags.f_contiguous if order == "F" else a.flags.c_contiguous
    if lies and (a.nbytes < SMALL or a.ctypes.data % LINE == 0):
        return a
    copy = empty(a.shape, a.dtype, order)
    copy[...] = a
    return copy


def unseen(things: list) -> Any:
    """Return the first thing that nobody holds but this list, None if there is none."""
    for thing in things:
        if getrefcount(thing) == UNSEEN and not getweakrefcount(thing):
            return thing
    return None


UNSEEN = 1  # what is counted there of a thing that only the list holds; versions of Python differ
while UNSEEN < 9 and unseen([onp.empty(0)]) is None:
    UNSEEN += 1


class Results:
    """An array for each call to return: of the last two those that nobody holds any more come again.

    Whoever still sees numbers of an array holds it: a view, a slice, a recorded node, a library that shares its memory. It
    is used again only where Python would have freed it, had it not been kept here.
    """

    def __init__(self, shape: tuple, dtype: Any):
        self.shape, self.dtype = shape, dtype
        self.arrays: list[onp.ndarray] = []

    def next(self) -> onp.ndarray:
        """Return an array that nobody sees, with any numbers in it."""
        kept = unseen(self.arrays)
        if kept is not None:
            return kept
        new = empty(self.shape, self.dtype)
        self.arrays = [*self.arrays[-1:], new] if new.nbytes <= SPARE else [new]
        return new
