"""Memory that is used again when nobody sees it any more: the system clears every page of new memory before it is filled."""

from __future__ import annotations

from sys import getrefcount
from typing import Any
from weakref import getweakrefcount

import numpy as onp

SPARE = 2**26  # bytes of a result for which a second array is kept


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
        new = onp.empty(self.shape, self.dtype)
        self.arrays = [*self.arrays[-1:], new] if new.nbytes <= SPARE else [new]
        return new
