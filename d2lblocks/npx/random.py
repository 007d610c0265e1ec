"""Seeding, and draws named after the original's extensions: bernoulli, uniform_n, normal_n."""

from __future__ import annotations

from typing import Any

import numpy as onp

from d2lblocks import rng
from d2lblocks.context import Context
from d2lblocks.errors import ArgumentError
from d2lblocks.np import random as npr
from d2lblocks.np.dtypes import as_dtype
from d2lblocks.np.ndarray import ndarray, wrap


def seed(seed: int, ctx: Context | str = "all") -> None:
    """Start this thread's random streams anew; seed 0 is the state of a fresh process."""
    rng.seed(seed, all_streams=ctx == "all")


def bernoulli(prob: Any = None, logit: Any = None, size: Any = None, dtype: Any = None, ctx: Any = None,
              out: Any = None) -> ndarray:  # fmt: skip
    """Return 1 with probability `prob` (or sigmoid(logit)), else 0."""
    if (prob is None) == (logit is None):
        raise ArgumentError("Either `prob` or `logit` must be specified, but not both. Give one of them.")
    given, shape = npr.raw(prob if logit is None else logit), None
    shape = npr.shape_of(size, given)
    if logit is None and not ((given >= 0) & (given <= 1)).all():
        raise ArgumentError(f"bernoulli: expect probs >= 0 && probs <= 1, got {prob}.")
    u = rng.uniform(shape)
    if logit is None:
        hit = given > u
    else:
        wide = u.astype(onp.float64)
        hit = given > (onp.log(wide) - onp.log(1 - wide)).astype(onp.float32)
    return npr.finish(hit.astype(as_dtype(dtype)), out)


def uniform_n(low: Any = 0.0, high: Any = 1.0, batch_shape: Any = None, dtype: Any = None, ctx: Any = None) -> ndarray:
    """Return uniform draws of shape batch_shape + shape of the parameters."""
    return npr.uniform(low, high, npr.batched(batch_shape, low, high), dtype)


def normal_n(loc: Any = 0.0, scale: Any = 1.0, batch_shape: Any = None, dtype: Any = None, ctx: Any = None) -> ndarray:
    """Return normal draws of shape batch_shape + shape of the parameters."""
    return npr.normal(loc, scale, npr.batched(batch_shape, loc, scale), dtype)


def legacy_uniform(low: float, high: float, shape: tuple) -> ndarray:
    """Return uniform draws of the parallel stream."""
    return wrap(onp.float32(low) + rng.parallel_uniform(shape) * (onp.float32(high) - onp.float32(low)))


def legacy_normal(loc: float, scale: float, shape: tuple) -> ndarray:
    """Return normal draws of the parallel stream."""
    return wrap(onp.float32(loc) + rng.parallel_normal(shape) * onp.float32(scale))
