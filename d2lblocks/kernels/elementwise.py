"""exp, tanh, sigmoid and erf of one float32, for the loops of kernels: no branches and no calls, so loops do several at a time.

Each is a few products and sums, its polynomials fitted to the least relative error on their interval. Errors stated
are in ulp, the distance of neighbouring numbers, and hold for all numbers; NaN, infinities and denormal numbers come out right.
"""

from __future__ import annotations

import numpy as onp

from d2lblocks.kernels.product import Inner

f = onp.float32
ZERO, ONE, TWO = f(0), f(1), f(2)
LOG2E = f(1.4426950408889634)
LN2, LN2_REST = f(0.693359375), f(-2.12194440e-4)  # the first has so few digits that a small integer times it is exact
ROUND = f(1.5 * 2**23)  # so large that adding it rounds to an integer
LEAST, MOST = f(-104), f(89)  # beyond these exp is 0 and infinity
# (eʳ - 1 - r) / r² for r between -ln 2 / 2 and ln 2 / 2
E0, E1, E2, E3, E4 = f(0.49999994), f(0.1666652), f(0.041668393), f(0.008368781), f(0.0013814467)
# (tanh(x) - x) / x³ in terms of x², up to NEAR
NEAR = f(0.625)
T0, T1, T2, T3, T4 = f(-0.3333328), f(0.13331442), f(-0.053739715), f(0.020639088), f(-0.0057049873)
# erf(x) / x - 1 in terms of x², up to NEARER
NEARER, FAR = f(0.95), f(4)
F0, F1, F2, F3, F4, F5 = f(0.12837914), f(-0.37612447), f(0.1128132), f(-0.026748864), f(0.004967507), f(-0.0005862082)
# -log(1 - erf(x)) between NEARER and FAR, from where on erf is 1
G0, G1, G2, G3 = f(0.00016644795), f(1.1277972), f(0.63697606), f(0.10411368)
G4, G5, G6 = f(-0.022315212), f(0.0030654902), f(-0.00019821963)


@Inner
def exp(x):
    """eˣ to 1 ulp, as 2ⁿ eʳ with x = n ln 2 + r."""
    t = x if x > LEAST else LEAST
    t = t if t < MOST else MOST
    whole = (t * LOG2E + ROUND) - ROUND
    r = (t - whole * LN2) - whole * LN2_REST
    y = ONE + (r + r * r * (E0 + r * (E1 + r * (E2 + r * (E3 + r * E4)))))
    n = onp.int32(whole)
    half = onp.int32(n >> 1)  # 2ⁿ in two parts: by itself it may be too large or too small for a float32
    return y * power(half) * power(onp.int32(n - half)) if x == x else x


@Inner
def power(n):
    """2ⁿ, written into the exponent's bits: n from -126 to 127."""
    return onp.int32((n + 127) << 23).view(onp.float32)


@Inner
def sigmoid(x):
    """1 / (1 + e⁻ˣ) to 2.5 ulp."""
    e = exp(-abs(x))
    return (ONE if x > ZERO else e) / (ONE + e)


@Inner
def tanh(x):
    """(eˣ - e⁻ˣ) / (eˣ + e⁻ˣ) to 2.5 ulp."""
    a, s = abs(x), x * x
    near = x + x * s * (T0 + s * (T1 + s * (T2 + s * (T3 + s * T4))))
    far = ONE - TWO / (exp(TWO * a) + ONE)
    far = far if x > ZERO else -far
    y = near if a < NEAR else far
    return y if s > ZERO else x


@Inner
def erf(x):
    """2/√π ∫₀ˣ exp(-t²) dt to 2 ulp: the normal distribution's half of gelu."""
    a, s = abs(x), x * x
    near = x + x * (F0 + s * (F1 + s * (F2 + s * (F3 + s * (F4 + s * F5)))))
    t = a if a < FAR else FAR
    far = ONE - exp(-(G0 + t * (G1 + t * (G2 + t * (G3 + t * (G4 + t * (G5 + t * G6)))))))
    far = far if x > ZERO else -far
    y = near if a < NEARER else far
    return y if x == x else x
