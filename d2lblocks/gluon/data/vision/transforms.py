"""Image transforms: (h, w, c) images in, arrays for nets out. They are blocks without parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError, ArrayTypeError, kind_of
from d2lblocks.gluon.block import Block
from d2lblocks.gluon.nn.container import Lambda, Sequential
from d2lblocks.np.creation import array
from d2lblocks.np.ndarray import ndarray, wrap


class Compose(Sequential):
    """One transform after the other; functions may be among them."""

    def __init__(self, transforms: Iterable[Callable]):
        super().__init__()
        if not isinstance(transforms, Iterable) or isinstance(transforms, str):
            raise ArrayTypeError(f"Compose takes a list of transforms, got {kind_of(transforms)}.")
        self.add(*(one if isinstance(one, Block) else Lambda(one) for one in transforms))


class Cast(Block):
    """Change the dtype."""

    def __init__(self, dtype: Any = "float32"):
        super().__init__()
        self._dtype = dtype

    def forward(self, x: ndarray) -> ndarray:
        _need_array(self, x)
        return x.astype(self._dtype)


class ToTensor(Block):
    """(h, w, c) in 0 .. 255 -> (c, h, w) float32 in [0, 1]; with a batch axis in front if there is one."""

    def forward(self, x: ndarray) -> ndarray:
        _need_array(self, x)
        if x.ndim not in (3, 4):
            raise ArgumentError(f"ToTensor takes (h, w, c) or (n, h, w, c), got shape {x.shape}.")
        return wrap(onp.ascontiguousarray(onp.moveaxis(x._data, -1, -3), onp.float32) / onp.float32(255))


class Normalize(Block):
    """(x - mean) / std per channel of (c, h, w)."""

    def __init__(self, mean: Any = 0.0, std: Any = 1.0):
        super().__init__()
        self._mean, self._std = (onp.asarray(v, onp.float32).reshape(-1, 1, 1) for v in (mean, std))

    def forward(self, x: ndarray) -> ndarray:
        _need_array(self, x)
        if x.ndim not in (3, 4):
            raise ArgumentError(f"Normalize takes (c, h, w) or (n, c, h, w), got shape {x.shape}; ToTensor makes such.")
        return (x - array(self._mean)) / array(self._std)


class Resize(Block):
    """Scale (h, w, c), or a batch of such, to `size` = (width, height), or one number for both.

    Args:
        keep_ratio: one number is the shorter side, and the longer one follows.
        interpolation: 1, linear; or 0, the nearest pixel.
    """

    def __init__(self, size: int | Sequence[int], keep_ratio: bool = False, interpolation: int = 1):
        super().__init__()
        sizes: Any = tuple(size) if isinstance(size, tuple | list) else (size,)
        if len(sizes) not in (1, 2) or not all(isinstance(n, int | onp.integer) and n > 0 for n in sizes):
            raise ArgumentError(f"Resize takes a size > 0 or (width, height), got {size!r}.")
        if interpolation not in (0, 1):
            raise ArgumentError(f"Resize: interpolation is 0 (the nearest pixel) or 1 (linear), got {interpolation!r}.")
        self._target, self._keep_ratio, self._nearest = sizes, keep_ratio, interpolation == 0

    def forward(self, x: ndarray) -> ndarray:
        _need_array(self, x)
        if x.ndim not in (3, 4):
            raise ArgumentError(f"Resize takes (h, w, c) or (n, h, w, c), got shape {x.shape}.")
        height, width = x.shape[-3:-1]
        wide, high = self._target[0], self._target[-1]
        if self._keep_ratio and len(self._target) == 1:
            wide, high = (wide, high * height // width) if width < height else (wide * width // height, high)
        if self._nearest:
            rows, columns = (onp.arange(n) * old // n for n, old in ((high, height), (wide, width)))
            return wrap(onp.take(onp.take(x._data, rows, -3), columns, -2))
        if x.dtype == onp.uint8:
            return wrap(_resized_bytes(x._data, wide, high).astype(onp.uint8))
        return wrap(_stretched(_stretched(x._data.astype(onp.float32), wide, -2), high, -3).astype(x.dtype))


def _need_array(transform: Block, x: Any) -> None:
    if not isinstance(x, ndarray):
        raise ArrayTypeError(
            f"{type(transform).__name__} takes an array of d2lblocks, got {kind_of(x)}; write np.array(x)."
        )


def _neighbours(old: int, n: int) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
    """Return the two old pixels around each of n new ones, and the share of the second; centres lie at half numbers."""
    at = ((onp.arange(n) + 0.5) * (old / n) - 0.5).astype(onp.float32)
    low = onp.floor(at)
    first = low.astype(int)
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), at - low


def _stretched(raw: onp.ndarray, n: int, axis: int) -> onp.ndarray:
    """Interpolate linearly along one axis."""
    first, second, share = _neighbours(raw.shape[axis], n)
    share = share.reshape([-1 if i == raw.ndim + axis else 1 for i in range(raw.ndim)])
    return onp.take(raw, first, axis) * (1 - share) + onp.take(raw, second, axis) * share


def _resized_bytes(raw: onp.ndarray, wide: int, high: int) -> onp.ndarray:
    """Interpolate (h, w, c) bytes in whole numbers, to the bit like the original (that is, like OpenCV).

    Shares are counted in 1/2048, so two of them make 22 binary places too many: 4 are cut off between the axes, 16 from
    each row's part, and the last 2 are rounded away.
    """
    left, right, share = _neighbours(raw.shape[-2], wide)
    rows = onp.take(raw, left, -2) * _in_2048ths(1 - share)[:, None]
    rows = (rows + onp.take(raw, right, -2) * _in_2048ths(share)[:, None]) >> 4
    upper, lower, share = _neighbours(raw.shape[-3], high)
    parts = onp.take(rows, upper, -3) * _in_2048ths(1 - share)[:, None, None] >> 16
    return (parts + (onp.take(rows, lower, -3) * _in_2048ths(share)[:, None, None] >> 16) + 2) >> 2


def _in_2048ths(share: onp.ndarray) -> onp.ndarray:
    return onp.rint(share * 2048).astype(onp.int32)
