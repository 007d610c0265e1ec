"""Image transforms: (h, w, c) images in, arrays for nets out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.np.creation import array
from d2lblocks.np.ndarray import ndarray, wrap


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Callable]):
        self._transforms = transforms

    def __call__(self, x: Any) -> Any:
        for transform in self._transforms:
            x = transform(x)
        return x


class Cast:
    """Change the dtype."""

    def __init__(self, dtype: Any = "float32"):
        self._dtype = dtype

    def __call__(self, x: ndarray) -> ndarray:
        return x.astype(self._dtype)


class ToTensor:
    """(h, w, c) in 0 .. 255 -> (c, h, w) float32 in [0, 1]; with a batch axis in front if there is one."""

    def __call__(self, x: ndarray) -> ndarray:
        if x.ndim not in (3, 4):
            raise ArgumentError(f"ToTensor takes (h, w, c) or (n, h, w, c), got shape {x.shape}.")
        return wrap(onp.ascontiguousarray(onp.moveaxis(x._data, -1, -3), onp.float32) / onp.float32(255))


class Normalize:
    """(x - mean) / std per channel of (c, h, w)."""

    def __init__(self, mean: Any = 0.0, std: Any = 1.0):
        self._mean, self._std = (onp.asarray(v, onp.float32).reshape(-1, 1, 1) for v in (mean, std))

    def __call__(self, x: ndarray) -> ndarray:
        return (x - array(self._mean)) / array(self._std)


class Resize:
    """Scale (h, w, c) to `size` = (width, height), or one number for both, by linear interpolation."""

    def __init__(self, size: int | tuple[int, int], keep_ratio: bool = False, interpolation: int = 1):
        self._size, self._keep_ratio = size, keep_ratio

    def __call__(self, x: ndarray) -> ndarray:
        height, width = x.shape[-3:-1]
        wide, high = self._size if isinstance(self._size, tuple) else (self._size, self._size)
        if self._keep_ratio and not isinstance(self._size, tuple):
            wide, high = (
                (wide, round(high * height / width)) if width < height else (round(wide * width / height), high)
            )
        raw = _stretched(_stretched(x._data.astype(onp.float32), high, -3), wide, -2)
        return wrap((raw.round() if x.dtype == onp.uint8 else raw).astype(x.dtype))


def _stretched(raw: onp.ndarray, n: int, axis: int) -> onp.ndarray:
    """Interpolate linearly along one axis; pixel centres lie at half numbers."""
    old = raw.shape[axis]
    at = ((onp.arange(n) + 0.5) * old / n - 0.5).clip(0, old - 1)
    low = at.astype(int)
    high = (low + 1).clip(max=old - 1)
    share = (at - low).astype(onp.float32).reshape([-1 if i == raw.ndim + axis else 1 for i in range(raw.ndim)])
    return onp.take(raw, low, axis) * (1 - share) + onp.take(raw, high, axis) * share
