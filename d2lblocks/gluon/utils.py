"""Helpers around training: cutting a batch in slices, clipping gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, warn
from d2lblocks.gluon.hooks import HookHandle as HookHandle
from d2lblocks.np.creation import array
from d2lblocks.np.ndarray import ndarray


def split_data(data: ndarray, num_slice: int, batch_axis: int = 0, even_split: bool = True) -> list[ndarray]:
    """Return `num_slice` slices along the batch axis; with even_split False the first may be one longer."""
    if num_slice < 1:
        raise ArgumentError(f"num_slice must be at least 1, got {num_slice}.")
    size = data.shape[batch_axis]
    step, longer = divmod(size, num_slice)
    if even_split and longer:
        raise ArgumentError(
            f"data with shape {data.shape} cannot be evenly split into {num_slice} slices along axis {batch_axis}. Use a "
            f"batch size that's multiple of {num_slice} or set even_split=False to allow uneven partitioning of data."
        )
    cuts = [step * i + min(i, longer) for i in range(num_slice + 1)]
    front = (slice(None),) * (batch_axis % data.ndim)
    return [data[(*front, slice(a, b))] for a, b in zip(cuts, cuts[1:], strict=False)]


def split_and_load(data: Any, ctx_list: list, batch_axis: int = 0, even_split: bool = True) -> list[ndarray]:
    """Return one slice of the data for each context."""
    data = data if isinstance(data, ndarray) else array(data)
    slices = split_data(data, len(ctx_list), batch_axis, even_split)
    return [part.as_in_ctx(ctx) for part, ctx in zip(slices, ctx_list, strict=True)]


def clip_global_norm(arrays: list[ndarray], max_norm: float, check_isfinite: bool = True) -> float:
    """Scale the arrays in place so that the length of all together is at most max_norm; gives back the length before."""
    if not arrays:
        raise ArgumentError("clip_global_norm needs at least one array.")
    norm = math.sqrt(sum(float(onp.square(x._data, dtype=onp.float64).sum()) for x in arrays))
    if check_isfinite and not math.isfinite(norm):
        warn("nan or inf is detected. Clipping results will be undefined.")
    scale = max_norm / (norm + 1e-8)
    if scale < 1:
        for x in arrays:
            x *= scale
    return norm
