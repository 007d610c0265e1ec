"""Special functions: erf, gamma, gammaln, smooth_l1. By the C library, number by number; erf of float32 by a kernel."""

from __future__ import annotations

import math

import numpy as onp

from d2lblocks.kernels import tiles
from d2lblocks.kernels.each import each
from d2lblocks.np.elementwise import absolute, exp, where
from d2lblocks.op import elementwise, op


def _each(function):
    """Let a function of Python numbers act on arrays; the result keeps the float dtype."""
    slow = onp.frompyfunc(function, 1, 1)

    def forward(x):
        kind = x.dtype if x.dtype.kind == "f" else onp.float32
        return onp.asarray(slow(x)).astype(kind)

    forward.__doc__ = f"{function.__name__}(x), number by number."
    return forward


def _inverse_erf(y):
    """Return x with erf(x) = y, by Newton's method from Winitzki's approximation (2008)."""
    if abs(y) >= 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    if math.isnan(y):
        return y
    part = math.log1p(-y * y)
    first = 2 / (math.pi * 0.147) + part / 2
    x = math.copysign(math.sqrt(math.sqrt(first * first - part / 0.147) - first), y)
    for _ in range(4):
        x -= (math.erf(x) - y) / (2 / math.sqrt(math.pi) * math.exp(-x * x))
    return x


def _is_pole(x):
    return -math.inf < x <= 0 and x == math.floor(x)


def _log_gamma(x):
    return math.inf if _is_pole(x) else math.lgamma(x)


def _gamma(x):
    if x == 0:
        return math.copysign(math.inf, x)
    if _is_pole(x) or x == -math.inf:
        return math.nan
    try:
        return math.gamma(x)
    except OverflowError:
        return math.inf


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)


def _polygamma(x, n):
    """Return the (n+1)-th derivative of log(gamma(x)): recurrence up to x > 10, then the asymptotic series.

    See: Abramowitz & Stegun 6.4.11 and, for n = 0, 6.3.18.
    """
    if not math.isfinite(x):
        return (math.inf if n == 0 else 0.0) if x > 0 else math.nan
    if x <= 0 and (n or x == math.floor(x)):
        return math.nan
    if x < 0:
        return _polygamma(1 - x, 0) - math.pi / math.tan(math.pi * x)
    sign = -1 if n % 2 == 0 else 1
    total = 0.0
    while x < 10:
        total += sign * math.factorial(n) / x ** (n + 1)
        x += 1
    total += sign * math.factorial(n) / (2 * x ** (n + 1))
    total += math.log(x) if n == 0 else sign * math.factorial(n - 1) / x**n
    for k, b in enumerate(_BERNOULLI, 1):
        total += sign * b * math.factorial(2 * k + n - 1) / (math.factorial(2 * k) * x ** (2 * k + n))
    return total


@op
def polygamma(x, *, n):
    """The (n+1)-th derivative of log(gamma(x)), number by number; n = 0 is digamma."""
    return onp.asarray(onp.frompyfunc(lambda v: _polygamma(v, n), 1, 1)(x)).astype(x.dtype)


@polygamma.vjp("x")
def _(g, z, x, n):
    return g * polygamma(x, n=n + 1)


_erf = _each(math.erf)


def _fast_erf(x):
    z = each(tiles.ERF, x)
    return _erf(x) if z is None else z


_ROOT = 2.0 / math.sqrt(math.pi)
erf = elementwise(_fast_erf, lambda g, z, x: g * _ROOT * exp(-x * x), name="erf", of="data")
erfinv = elementwise(_each(_inverse_erf), lambda g, z, x: g / _ROOT * exp(z * z), name="erfinv", of="data")
gammaln = elementwise(_each(_log_gamma), lambda g, z, x: g * polygamma(x, n=0), name="gammaln", of="data")
gamma = elementwise(_each(_gamma), lambda g, z, x: g * z * polygamma(x, n=0), name="gamma", of="data")


@op
def smooth_l1(data, *, scalar=None):
    """(s x)² / 2 where |x| < 1/s², else |x| - 1 / (2 s²), with s = scalar."""
    scalar = 1.0 if scalar is None else scalar
    near = onp.abs(data) < 1 / scalar**2
    return onp.where(near, 0.5 * (scalar * data) ** 2, onp.abs(data) - 0.5 / scalar**2).astype(data.dtype)


@smooth_l1.vjp("data")
def _(g, z, data, scalar=None):
    scalar = 1.0 if scalar is None else scalar
    near = absolute(data) < 1 / scalar**2
    return g * where(near, data * scalar**2, 1.0 - 2.0 * (data < 0))
