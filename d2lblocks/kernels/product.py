"""y = x w + b on numbers in memory, the inner part of other kernels: float32, given by addresses and strides.

An address is an integer, a stride counts numbers. So a kernel can multiply parts of arrays and their transposes without a
copy, and a program in a table of integers can multiply, too.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

import numpy as onp

SHORT = 64  # terms that are summed at a time at least
SPAN = 2**18  # numbers of w that a tile passes over at most: the processor finds so many pages of memory without delay


class Inner:
    """A function for use inside kernels: plain Python, and where Numba compiles, code by `simd` or what Numba makes of it."""

    def __init__(self, plain: Callable):
        self.plain = plain
        self.__name__, self.__doc__ = plain.__name__, plain.__doc__

    def __call__(self, *args: Any) -> Any:
        return self.plain(*args)

    @property
    def _numba_type_(self) -> Any:  # Numba asks for it when it meets the name in a kernel, and only then loads the rest
        return importlib.import_module("d2lblocks.kernels.simd").kind(self.__name__, self.plain)


def array(address: int, rows: int, columns: int, row: int, column: int = 1) -> onp.ndarray:
    """Return the numbers at an address as an array: for plain Python only."""
    if not rows * columns:
        return onp.empty((rows, columns), onp.float32)
    count = (rows - 1) * row + (columns - 1) * column + 1
    flat = onp.ctypeslib.as_array((ctypes.c_float * int(count)).from_address(int(address)))
    return onp.lib.stride_tricks.as_strided(flat, (rows, columns), (4 * row, 4 * column))


@Inner
def product(n, k, m, x, x_row, x_col, w, w_row, y, y_row, b, b_row, relu, step):
    """y = x w + b, with 0 for negative numbers if `relu`: (n, k), (k, m), (n, m) -> (n, m).

    x has strides both ways, rows of w, y and b lie unbroken. Where b is 0 nothing is added; a bias has
    b_row = 0; with b = y the product is added to y. Where `step` is no 0 it is the address of two numbers, rescale and eta,
    and y = b - eta (rescale (x w)), for terms that are summed at a time: a step of gradient descent.
    """
    out = array(y, n, m, y_row)
    z = array(x, n, k, x_row, x_col) @ array(w, k, m, w_row)
    if step:
        rescale, eta = array(step, 1, 2, 2)[0]
        z = array(b, n, m, b_row) - eta * (z * rescale)
    elif b:
        z += array(b, n, m, b_row)
    out[...] = onp.where((z > 0) | onp.isnan(z), z, 0) if relu else z


@Inner
def transpose(rows, columns, a, a_row, t, t_row):
    """t = aᵀ: (rows, columns) -> (columns, rows)."""
    array(t, columns, rows, t_row)[...] = array(a, rows, columns, a_row).T


def _at(c_type: Any) -> Inner:
    def numbers(address: int, n: int) -> onp.ndarray:
        """Return n numbers at an address as an array."""
        return onp.ctypeslib.as_array((c_type * int(n)).from_address(int(address))) if n else onp.empty(0, c_type)

    numbers.__name__ = "numbers of " + onp.dtype(c_type).name
    return Inner(numbers)


floats, ints, longs = _at(ctypes.c_float), _at(ctypes.c_int32), _at(ctypes.c_int64)


@Inner
def address(a):
    """Return where the first number of an array is."""
    return a.ctypes.data
