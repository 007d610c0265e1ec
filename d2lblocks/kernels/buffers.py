"""Big results in memory that is used again: new memory costs more than to fill it, for the system clears every page first."""

from __future__ import annotations

from sys import getrefcount
from typing import Any
from weakref import getweakrefcount

import numpy as onp

SPARE = 2**26  # bytes of a result for which a second array is kept


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
        for kept in self.arrays:
            if getrefcount(kept) == UNSEEN and not getweakrefcount(kept):
                return kept
        new = onp.empty(self.shape, self.dtype)
        self.arrays = [*self.arrays[-1:], new] if new.nbytes <= SPARE else [new]
        return new


UNSEEN = [getrefcount(kept) for kept in [onp.empty(0)]][0]  # the count of an array that only a list holds
