"""The data loader: examples in batches, stacked into arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, kind_of
from d2lblocks.gluon.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from d2lblocks.np.moves import stack
from d2lblocks.np.ndarray import ndarray, wrap


def default_batchify_fn(data: list) -> Any:
    """Stack examples into arrays, part by part."""
    if isinstance(data[0], tuple):
        return [default_batchify_fn(list(part)) for part in zip(*data, strict=True)]
    shapes = sorted({getattr(x, "shape", ()) for x in data})
    if len(shapes) > 1:
        raise ArgumentError(f"A batch needs examples of one shape, got {shapes}. Pad them, or give a batchify_fn.")
    if isinstance(data[0], ndarray):
        return stack(data)
    try:
        raw = onp.asarray(data)
    except ValueError:  # lists of different lengths
        raw = onp.zeros(0, object)
    if raw.dtype.kind not in "biuf":
        raise ArrayTypeError(
            f"A batch is made of numbers or arrays of one shape, got {kind_of(data[0])}s such as {data[0]!r:.60}. Give a "
            "batchify_fn that makes of a list of examples what the net takes."
        )
    return wrap(raw)


class DataLoader:
    """Iterates over a dataset in batches, in this process: `num_workers` is accepted and not needed."""

    def __init__(self, dataset: Any, batch_size: int | None = None, shuffle: bool = False, sampler: Any = None,
                 last_batch: str | None = None, batch_sampler: Any = None, batchify_fn: Callable | None = None,
                 num_workers: int = 0, pin_memory: bool = False, pin_device_id: int = 0, prefetch: int | None = None,
                 thread_pool: bool = False, timeout: int = 120, auto_reload: bool = False):  # fmt: skip
        if batch_sampler is None:
            if batch_size is None:
                raise ArgumentError("batch_size must be specified unless batch_sampler is specified")
            if sampler is not None and shuffle:
                raise ArgumentError("shuffle must not be specified if sampler is specified")
            if sampler is None:
                sampler = RandomSampler(len(dataset)) if shuffle else SequentialSampler(len(dataset))
            batch_sampler = BatchSampler(sampler, batch_size, last_batch or "keep")
        elif batch_size is not None or shuffle or sampler is not None or last_batch is not None:
            raise ArgumentError(
                "batch_size, shuffle, sampler and last_batch must not be specified if batch_sampler is specified."
            )
        self._dataset, self._batch_sampler = dataset, batch_sampler
        self._batchify_fn = batchify_fn or default_batchify_fn

    def __iter__(self) -> Iterator:
        for batch in map(list, self._batch_sampler):
            examples = [self._example(i) for i in batch]
            try:
                made = self._batchify_fn(examples)
            except Exception as problem:
                numbers = ", ".join(map(str, batch[:8])) + ", ..." * (len(batch) > 8)
                problem.add_note(f"while putting together the examples {numbers} of the dataset")
                raise
            yield made

    def _example(self, i: int) -> Any:
        try:
            return self._dataset[i]
        except Exception as problem:  # the dataset's own error goes on, with the number of the example
            problem.add_note(f"while loading example {i} of the dataset")
            raise

    def __len__(self) -> int:
        return len(self._batch_sampler)
