"""Datasets: examples by number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from d2lblocks.errors import ArgumentError


class Dataset:
    """Base: write `__getitem__(i)` and `__len__()`."""

    def __getitem__(self, i: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__(self, i).")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__(self).")

    def filter(self, fn: Callable) -> SimpleDataset:
        """Return the examples for which fn is true."""
        return SimpleDataset([x for x in (self[i] for i in range(len(self))) if fn(x)])

    def take(self, count: int | None) -> SimpleDataset:
        """Return the first `count` examples."""
        return SimpleDataset([self[i] for i in range(len(self) if count is None else min(count, len(self)))])

    def shard(self, num_shards: int, index: int) -> SimpleDataset:
        """Return part `index` of `num_shards`; the first parts are one longer where it does not come out even."""
        if not 0 <= index < num_shards:
            raise ArgumentError(f"shard: index {index} is not in [0, {num_shards}).")
        size, extra = divmod(len(self), num_shards)
        start = size * index + min(index, extra)
        return SimpleDataset([self[i] for i in range(start, start + size + (index < extra))])

    def sample(self, sampler: Any) -> SimpleDataset:
        """Return the examples in the order of a sampler."""
        return SimpleDataset([self[i] for i in sampler])

    def transform(self, fn: Callable, lazy: bool = True) -> Dataset:
        """Return the examples after fn; at once if not lazy."""
        changed = _Transformed(self, fn)
        return changed if lazy else SimpleDataset([changed[i] for i in range(len(self))])

    def transform_first(self, fn: Callable, lazy: bool = True) -> Dataset:
        """Return the examples with fn applied to their first part, usually the data and not the label."""
        return self.transform(lambda x, *rest: (fn(x), *rest) if rest else fn(x), lazy)


class SimpleDataset(Dataset):
    """A list of examples."""

    def __init__(self, data: Any):
        self._data = data

    def __getitem__(self, i: int) -> Any:
        return self._data[i]

    def __len__(self) -> int:
        return len(self._data)


class _Transformed(Dataset):
    def __init__(self, data: Dataset, fn: Callable):
        self._data, self._fn = data, fn

    def __getitem__(self, i: int) -> Any:
        example = self._data[i]
        return self._fn(*example) if isinstance(example, tuple) else self._fn(example)

    def __len__(self) -> int:
        return len(self._data)


class ArrayDataset(Dataset):
    """Arrays side by side: example i is (a[i], b[i], ...), or a[i] of a single array."""

    def __init__(self, *args: Any):
        if not args:
            raise ArgumentError("ArrayDataset needs at least one array.")
        lengths = [len(a) for a in args]
        if len(set(lengths)) > 1:
            raise ArgumentError(f"All arrays must have the same length, got {lengths}.")
        self._data = args

    def __getitem__(self, i: int) -> Any:
        parts = tuple(a[i] for a in self._data)
        return parts[0] if len(parts) == 1 else parts

    def __len__(self) -> int:
        return len(self._data[0])
