"""exp, tanh, sigmoid, erf of one float32, for the loops of kernels: no branches and no calls, so loops do several at a time.

Each is a few products and sums, its polynomials fitted to the least relative error on their interval. Errors stated
are in ulp, the distance of neighbouring numbers, and hold for all numbers; NaN, infinities and denormal numbers come out right.

The same lines serve three times: Python runs them, Numba compiles them into loops, and `chain` calls them with vectors,
which do not compute but write down instructions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

from d2lblocks.kernels.product import Inner

f = onp.float32
ZERO, HALF, ONE = f(0), f(0.5), f(1)
LOG2E, TWICE_LOG2E = f(1.4426950408889634), f(2.8853900817779268)
LN2, LN2_REST = f(0.693359375), f(-2.12194440e-4)  # the first has so few digits that a small integer times it is exact
HALF_LN2 = f(0.34657359)
ROUND = f(1.5 * 2**23 + 127)  # so large that adding it rounds to an integer; the 127 is for `power`
LEAST, MOST = f(-104), f(89)  # beyond these exp is 0 and infinity
# (eʳ - 1 - r) / r² for r between -ln 2 / 2 and ln 2 / 2
E0, E1, E2, E3, E4 = f(0.49999994), f(0.1666652), f(0.041668393), f(0.008368781), f(0.0013814467)
# ((e²ʳ - 1) / 2 - r) / r² for r between -ln 2 / 4 and ln 2 / 4, and from where on tanh is 1
T0, T1, T2, T3, T4 = f(1), f(0.66666172), f(0.33333026), f(0.13386534), f(0.04462864)
ENOUGH, FEW = f(9.02), f(1.5)
# erf(x) / x - 1 in terms of x², up to NEARER
NEARER, FAR = f(0.95), f(4)
F0, F1, F2, F3, F4, F5 = f(0.12837914), f(-0.37612447), f(0.1128132), f(-0.026748864), f(0.004967507), f(-0.0005862082)
# -log(1 - erf(x)) between NEARER and FAR, from where on erf is 1
G0, G1, G2, G3 = f(0.00016644795), f(1.1277972), f(0.63697606), f(0.10411368)
G4, G5, G6 = f(-0.022315212), f(0.0030654902), f(-0.00019821963)


class Step(Inner):
    """A step that numbers have no sign for. Vectors of `chain` have it as a method."""

    def __call__(self, x: Any, *rest: Any) -> Any:
        own = getattr(x, self.__name__, None)
        return own(*rest) if own else self.plain(x, *rest)


@Step
def where(condition, a, b):
    """A where the condition holds, else b."""
    return a if condition else b


@Step
def power(t):
    """2ⁿ of t = n + ROUND, n from -126 to 127: t ends in the bits of n + 127, and where they go is a number's exponent."""
    return onp.int32(f(t).view(onp.int32) << 23).view(onp.float32)


@Step
def signed(x, y):
    """|x| with the sign of y, also that of -0."""
    return onp.copysign(x, y)


@Step
def root(x):
    """√x."""
    return math.sqrt(x)


@Inner
def larger(x, y):
    """The larger of x and y; NaN wins."""
    return where((x > y) | (x != x), x, y)


@Inner
def smaller(x, y):
    """The smaller of x and y; NaN wins."""
    return where((x < y) | (x != x), x, y)


@Inner
def relu(x):
    """0 for negative numbers; NaN is not below 0 and stays."""
    return where(x < ZERO, ZERO, x)


@Inner
def relu_back(g, z):
    """The gradient of x, from that of z = relu(x): z is enough to tell, here and below."""
    return where(z > ZERO, g, ZERO)


@Inner
def sigmoid_back(g, z):
    """The gradient of x, from that of z = sigmoid(x)."""
    return g * (z * (ONE - z))


@Inner
def tanh_back(g, z):
    """The gradient of x, from that of z = tanh(x)."""
    return g * (ONE - z * z)


@Inner
def parts(x):
    """n + ROUND and eʳ, where x = n ln 2 + r and eˣ = 2ⁿ eʳ."""
    n = x * LOG2E + ROUND
    whole = n - ROUND
    r = (x - whole * LN2) - whole * LN2_REST
    return n, ONE + (r + r * r * (E0 + r * (E1 + r * (E2 + r * (E3 + r * E4)))))


@Inner
def exp(x):
    """eˣ to 1.02 ulp."""
    t = where(x < LEAST, LEAST, x)  # so that NaN stays
    n, y = parts(where(t > MOST, MOST, t))
    whole = n - ROUND
    half = whole * HALF + ROUND  # 2ⁿ in two parts: by itself it may be too large or too small for a float32
    return y * power(half) * power((whole - (half - ROUND)) + ROUND)


@Inner
def sigmoid(x):
    """1 / (1 + e⁻ˣ) to 2.5 ulp."""
    e = exp(-abs(x))
    return where(x > ZERO, ONE, e) / (ONE + e)


@Inner
def tanh(x):
    """v / (v + 1) with v = (e²ˣ - 1) / 2, for the distance of x from 0, to 1.9 ulp (without fma 2.1)."""
    a = abs(x)
    a = where(a > ENOUGH, ENOUGH, a)
    n = a * TWICE_LOG2E + ROUND
    r = a - (n - ROUND) * HALF_LN2
    p = r + r * r * (T0 + r * (T1 + r * (T2 + r * (T3 + r * T4))))  # (e²ʳ - 1) / 2, with all digits even if it is small
    e = power(n)
    v = e * p + (e * HALF - HALF)
    w = v + ONE
    y = v / w
    return signed(where(w < FEW, v - v * y, y), x)  # the same, but for the digits that v + 1 has lost


@Inner
def erf(x):
    """2/√π ∫₀ˣ exp(-t²) dt to 1.8 ulp: the normal distribution's half of gelu."""
    a, s = abs(x), x * x
    near = x + x * (F0 + s * (F1 + s * (F2 + s * (F3 + s * (F4 + s * F5)))))
    t = where(a > FAR, FAR, a)
    n, y = parts(-(G0 + t * (G1 + t * (G2 + t * (G3 + t * (G4 + t * (G5 + t * G6)))))))
    return where(a < NEARER, near, signed(ONE - y * power(n), x))
