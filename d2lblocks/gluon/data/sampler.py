"""Samplers: the order in which examples come, and how they are cut into batches."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError


class Sampler:
    """Base: write `__iter__()` and `__len__()`."""

    def __iter__(self) -> Iterator:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__(self).")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__(self).")


class SequentialSampler(Sampler):
    """start, start + 1, ..."""

    def __init__(self, length: int, start: int = 0):
        self._length, self._start = _whole("length", length), _whole("start", start)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._start, self._start + self._length))

    def __len__(self) -> int:
        return self._length


class RandomSampler(Sampler):
    """All numbers below `length` in random order, by official NumPy's global generator as in the original."""

    def __init__(self, length: int):
        self._length = _whole("length", length)

    def __iter__(self) -> Iterator[int]:
        order = onp.arange(self._length)
        onp.random.shuffle(order)
        return iter(order.tolist())

    def __len__(self) -> int:
        return self._length


class FilterSampler(Sampler):
    """The numbers of those examples of a dataset for which fn is true."""

    def __init__(self, fn: Callable, dataset: Any):
        self._indices = [i for i in range(len(dataset)) if fn(dataset[i])]

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)


class BatchSampler(Sampler):
    """Batches of numbers; an incomplete last one is kept, discarded, or rolled over into the next epoch."""

    def __init__(self, sampler: Sampler, batch_size: int, last_batch: str = "keep"):
        if last_batch not in ("keep", "discard", "rollover"):
            raise ArgumentError(f"last_batch must be one of 'keep', 'discard', or 'rollover', but got {last_batch!r}")
        self._sampler, self._batch_size, self._last_batch = sampler, _whole("batch_size", batch_size, 1), last_batch
        self._left: list[Any] = []

    def __iter__(self) -> Iterator[list]:
        batch, self._left = self._left, []
        for i in self._sampler:
            batch.append(i)
            if len(batch) == self._batch_size:
                yield batch
                batch = []
        if batch and self._last_batch == "keep":
            yield batch
        elif self._last_batch == "rollover":
            self._left = batch

    def __len__(self) -> int:
        n = len(self._sampler) + len(self._left)
        return -(-n // self._batch_size) if self._last_batch == "keep" else n // self._batch_size


def _whole(what: str, n: Any, least: int = 0) -> int:
    """Return n if it is a whole number, and not below the least."""
    if isinstance(n, bool) or not isinstance(n, numbers.Integral) or n < least:
        raise ArgumentError(f"{what} must be a {'positive' if least else 'non-negative'} whole number, got {n!r}.")
    return int(n)
