"""Helpers around training: cutting a batch in slices, clipping gradients."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, kind_of, warn
from d2lblocks.gluon.hooks import HookHandle as HookHandle
from d2lblocks.np.creation import array
from d2lblocks.np.ndarray import ndarray


def split_data(data: ndarray, num_slice: int, batch_axis: int = 0, even_split: bool = True) -> list[ndarray]:
    """Return `num_slice` slices along the batch axis; with even_split False the first may be one longer."""
    if isinstance(num_slice, bool) or not isinstance(num_slice, int) or num_slice < 1:
        raise ArgumentError(f"num_slice must be a whole number from 1 on, got {num_slice!r}.")
    if not -data.ndim <= batch_axis < data.ndim:
        raise ArgumentError(f"batch_axis {batch_axis} is none of the {data.ndim} axes of data with shape {data.shape}.")
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
    if not isinstance(ctx_list, list | tuple):
        raise ArrayTypeError(f"ctx_list is a list of contexts, got {kind_of(ctx_list)}; write [npx.cpu()].")
    data = data if isinstance(data, ndarray) else array(data)
    slices = split_data(data, len(ctx_list), batch_axis, even_split)
    return [part.as_in_ctx(ctx) for part, ctx in zip(slices, ctx_list, strict=True)]


def clip_global_norm(arrays: list[ndarray], max_norm: float, check_isfinite: bool = True) -> float:
    """Scale the arrays in place so that the length of all together is at most max_norm; gives back the length before."""
    if not isinstance(arrays, list | tuple) or not all(isinstance(x, ndarray) for x in arrays):
        raise ArrayTypeError(f"clip_global_norm takes a list of arrays, got {kind_of(arrays)}.")
    if not arrays:
        raise ArgumentError("clip_global_norm needs at least one array.")
    if isinstance(max_norm, bool) or not isinstance(max_norm, numbers.Real):
        raise ArrayTypeError(f"clip_global_norm: max_norm is a number, got {max_norm!r}.")
    norm = math.sqrt(sum(float(onp.square(x._data, dtype=onp.float64).sum()) for x in arrays))
    if check_isfinite and not math.isfinite(norm):
        warn("nan or inf is detected. Clipping results will be undefined.")
    scale = max_norm / (norm + 1e-8)
    if scale < 1:
        for x in arrays:
            x *= scale
    return norm
