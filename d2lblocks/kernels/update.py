"""One step of an optimizer in one pass over the numbers of all parameters: every number is read and written once.

A rule takes a table with a row per parameter, its size and the addresses of its arrays, and a row of numbers for each: so a
trainer moves a hundred parameters by one call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as onp

from d2lblocks.kernels._jit import Kernel, Numbers, Table, Work, kernel
from d2lblocks.kernels.product import floats


def step(rule: Kernel, arrays: tuple, *numbers: float) -> None:
    """Run a rule over the arrays of one parameter: those that the kernel cannot read go by NumPy."""
    if alike(arrays):
        rule.run(onp.array([addresses(arrays)]), onp.array([numbers], onp.float64), arrays[0].size)
    else:
        rule.equal.__wrapped__(*arrays, *numbers)  # pyright: ignore[reportFunctionMemberAccess]


def alike(arrays: tuple) -> bool:
    """Return whether these arrays are float32 and lie in a row, all in the same order."""
    flags = [a.flags for a in arrays]
    if not (all(f.c_contiguous for f in flags) or all(f.f_contiguous for f in flags)):
        return False
    return all(a.dtype == onp.float32 and a.shape == arrays[0].shape and a.flags.behaved for a in arrays)


def addresses(arrays: tuple) -> list[int]:
    """Return a row of the table that a rule takes: how many numbers, and where those of each array begin."""
    return [arrays[0].size, *[a.ctypes.data for a in arrays]]


def _each(rule: Callable) -> Callable:
    """Make of a rule for the arrays of one parameter one for a table of parameters."""

    @wraps(rule)
    def equal(table: onp.ndarray, numbers: onp.ndarray, work: int) -> None:
        for (n, *places), given in zip(table.tolist(), numbers.tolist(), strict=True):
            rule(*[floats(place, n) for place in places], *given)

    return equal


def prepared(w: Any, g: Any, rescale: float, clip: float, wd: float) -> Any:
    """Return rescale g, clipped to [-clip, clip] (0: not at all), plus wd w, as a new array."""
    g = g * w.dtype.type(rescale)
    if clip > 0:
        onp.clip(g, -clip, clip, out=g)
    if wd:
        g += w.dtype.type(wd) * w
    return g


def decayed(w: Any, g: Any, rescale: float, clip: float, wd: float) -> Any:
    """Return rescale g plus wd w, clipped together to [-clip, clip] (0: not at all), as a new array."""
    g = prepared(w, g, rescale, 0, wd)
    return onp.clip(g, -clip, clip, out=g) if clip > 0 else g


def _sgd(w, g, lr, rescale, clip, wd):
    w -= w.dtype.type(lr) * prepared(w, g, rescale, clip, wd)


@kernel(_each(_sgd), exact=True)
def sgd(table: Table, numbers: Numbers, work: Work):
    """w -= lr g, for each row (n, w, g) with (lr, rescale, clip, wd)."""
    for r in range(len(table)):
        n = table[r, 0]
        w, g = floats(table[r, 1], n), floats(table[r, 2], n)
        real = w.dtype.type
        lr, rescale, clip, wd = real(numbers[r, 0]), real(numbers[r, 1]), real(numbers[r, 2]), real(numbers[r, 3])
        for i in range(n):
            s = g[i] * rescale
            if clip > 0:
                s = -clip if s < -clip else clip if s > clip else s
            if wd != 0:
                s = s + wd * w[i]
            w[i] = w[i] - lr * s


def _momentum(w, g, v, lr, momentum, rescale, clip, wd):
    v *= w.dtype.type(momentum)
    v -= w.dtype.type(lr) * prepared(w, g, rescale, clip, wd)
    w += v


@kernel(_each(_momentum), exact=True)
def momentum(table: Table, numbers: Numbers, work: Work):
    """v = momentum v - lr g, w += v, for each row (n, w, g, v) with (lr, momentum, rescale, clip, wd)."""
    for r in range(len(table)):
        n = table[r, 0]
        w, g, v = floats(table[r, 1], n), floats(table[r, 2], n), floats(table[r, 3], n)
        real = w.dtype.type
        lr, momentum = real(numbers[r, 0]), real(numbers[r, 1])
        rescale, clip, wd = real(numbers[r, 2]), real(numbers[r, 3]), real(numbers[r, 4])
        for i in range(n):
            s = g[i] * rescale
            if clip > 0:
                s = -clip if s < -clip else clip if s > clip else s
            if wd != 0:
                s = s + wd * w[i]
            v[i] = v[i] * momentum - lr * s
            w[i] = w[i] + v[i]


def _adam(w, g, m, v, eta, beta1, beta2, epsilon, rescale, clip, wd):
    real = w.dtype.type
    s = decayed(w, g, rescale, clip, wd)
    m *= real(beta1)
    m += real(1 - beta1) * s
    v *= real(beta2)
    v += real(1 - beta2) * (s * s)
    w -= real(eta) * m / (onp.sqrt(v) + real(epsilon))


@kernel(_each(_adam), exact=True)
def adam(table: Table, numbers: Numbers, work: Work):
    """m, v: running means of g and g², g clipped with its decay; w -= eta m / (sqrt(v) + epsilon).

    Rows are (n, w, g, m, v) and (eta, beta1, beta2, epsilon, rescale, clip, wd).
    """
    for r in range(len(table)):
        n = table[r, 0]
        w, g, m, v = floats(table[r, 1], n), floats(table[r, 2], n), floats(table[r, 3], n), floats(table[r, 4], n)
        real = w.dtype.type
        eta, old1, old2, epsilon = real(numbers[r, 0]), real(numbers[r, 1]), real(numbers[r, 2]), real(numbers[r, 3])
        new1, new2 = real(1 - numbers[r, 1]), real(1 - numbers[r, 2])
        rescale, clip, wd = real(numbers[r, 4]), real(numbers[r, 5]), real(numbers[r, 6])
        for i in range(n):
            s = g[i] * rescale
            if wd != 0:
                s = s + wd * w[i]
            if clip > 0:
                s = -clip if s < -clip else clip if s > clip else s
            m[i] = m[i] * old1 + new1 * s
            v[i] = v[i] * old2 + new2 * (s * s)
            w[i] = w[i] - eta * m[i] / (onp.sqrt(v[i]) + epsilon)
