"""The table of derivatives: operations that act number by number, each beside its rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as onp

from d2lblocks.errors import ArgumentError
from d2lblocks.op import discrete, elementwise, fit, op
from d2lblocks.tape import Variable

# In every rule: g comes in, z went out, x and y are the arguments.


def aligned(ufunc: Callable) -> Callable:
    """Let `ufunc` take two arrays of different dtype: of float and integer the float wins, as in Gluon.

    An integer array with a Python float stays integer (the number is truncated); NumPy would go to float64.
    """

    def forward(x: Any, y: Any) -> Any:
        dx, dy = getattr(x, "dtype", None), getattr(y, "dtype", None)
        if dx is dy:
            return ufunc(x, y)
        return ufunc(*align(x, y, dx, dy))

    forward.__name__ = ufunc.__name__
    forward.__doc__ = f"{ufunc.__name__}(x1, x2), number by number, with broadcasting."
    return forward


def align(x: Any, y: Any, dx: Any, dy: Any) -> tuple:
    """Return x and y so that NumPy's promotion gives Gluon's result dtype."""
    if dx is None or dy is None:
        return _with_number(x, y, dx, dy)
    if dx.kind == "f" and dy.kind != "f":
        return x, y.astype(dx)
    if dy.kind == "f" and dx.kind != "f":
        return x.astype(dy), y
    return x, y


def _with_number(x: Any, y: Any, dx: Any, dy: Any) -> tuple:
    """Align when one side (or both) is a Python number: integers cut it, truths meet floats as float32, True is 1."""
    if dx is None and dy is None:
        return x, y
    if dx is None:
        y, x = _with_number(y, x, dy, dx)
        return x, y
    if dx.kind in "iu" and type(y) is float and math.isfinite(y):
        return x, int(y)
    if dx.kind == "b" and type(y) is not int:
        return (x, int(y)) if type(y) is bool else (x.astype(onp.float32), y)
    return x, y


def whole(ufunc: Callable) -> Callable:
    """Let a `ufunc` of two floats take integers: computed in floats and cut to the integer dtype again."""

    def forward(x: Any, y: Any) -> Any:
        x, y = align(x, y, getattr(x, "dtype", None), getattr(y, "dtype", None))
        kinds = [v.dtype for v in (x, y) if type(v) is onp.ndarray]
        z = ufunc(x, y)
        if not kinds or any(kind.kind == "f" for kind in kinds):
            return z
        kind = onp.result_type(*kinds)
        return z.astype(onp.float32 if kind.kind == "b" else kind)

    forward.__name__ = ufunc.__name__
    forward.__doc__ = f"{ufunc.__name__}(x1, x2), number by number, with broadcasting; an integer dtype is kept."
    return forward


def real(ufunc: Callable) -> Callable:
    """Let `ufunc` take integers: computed in floats and cut to the integer dtype again, as in Gluon. Truths become float32."""

    def forward(x: Any) -> Any:
        if type(x) is not onp.ndarray or x.dtype.kind == "f":
            return ufunc(x)
        if x.dtype.kind == "b":
            return ufunc(x.astype(onp.float32))
        return ufunc(x.astype(onp.float64)).astype(x.dtype)

    forward.__name__ = ufunc.__name__
    forward.__doc__ = f"{ufunc.__name__}(x), number by number; an integer dtype is kept."
    return forward


def rounding(ufunc: Callable) -> Callable:
    """Let `ufunc` take integers and truths: they are whole already."""

    def forward(x: Any) -> Any:
        return ufunc(x) if getattr(x, "dtype", None) is None or x.dtype.kind == "f" else x.copy()

    forward.__name__ = ufunc.__name__
    forward.__doc__ = f"{ufunc.__name__}(x), number by number; integers stay."
    return forward


def _divide(x: Any, y: Any) -> Any:
    """x / y, number by number, with broadcasting; integers become float32."""
    dx, dy = getattr(x, "dtype", None), getattr(y, "dtype", None)
    if dx is not None and dx.kind != "f":
        x = x.astype(dy if dy is not None and dy.kind == "f" else onp.float32)
    if dy is not None and dy.kind != "f":
        y = y.astype(x.dtype if dx is not None else onp.float32)
    return onp.true_divide(x, y)


def _power(x: Any, y: Any) -> Any:
    """x^y, number by number; squares and cubes of floats are products, which is twenty times as fast."""
    if type(y) in (int, float) and y in (2, 3) and getattr(x, "dtype", onp.dtype(bool)).kind == "f":
        return x * x if y == 2 else x * x * x
    return onp.power(x, y)


_power.__name__ = "power"


def _ldexp(x: Any, y: Any) -> Any:
    """x 2^y, number by number, with broadcasting; y need not be whole."""
    return x * (onp.exp2(y) if isinstance(y, onp.ndarray) else 2.0**y)


def _log_of(x: Any) -> Any:
    """log(x) where x > 0, else 0: the factor in d(x^y)/dy, whose limit there is 0."""
    if isinstance(x, int | float):
        return math.log(x) if x > 0 else 0.0
    safe = where(x > 0, x, 1.0)
    return log(safe)


def _negative(x: Any) -> Any:
    """-x, number by number; truths count as 0 and 1 in int64."""
    truths = type(x) is onp.ndarray and x.dtype.kind == "b"
    return onp.negative(x.astype(onp.int64) if truths else x)


def zero(g: Any, z: Any, *args: Any) -> Any:
    """Return the derivative of a step function: 0 wherever it exists."""
    return g * 0


add = elementwise(aligned(onp.add), lambda g, z, x, y: g, lambda g, z, x, y: g)
subtract = elementwise(aligned(onp.subtract), lambda g, z, x, y: g, lambda g, z, x, y: -g)
multiply = elementwise(aligned(onp.multiply), lambda g, z, x, y: g * y, lambda g, z, x, y: g * x)
divide = elementwise(_divide, lambda g, z, x, y: g / y, lambda g, z, x, y: -g * z / y, name="divide")
power = elementwise(
    aligned(_power), lambda g, z, x, y: g * y * x ** (y - 1), lambda g, z, x, y: g * z * _log_of(x), name="power"
)
mod = elementwise(aligned(onp.mod), lambda g, z, x, y: g, lambda g, z, x, y: -g * floor(x / y), name="mod")
# Ties send the whole gradient to the first argument, as the original does.
maximum = elementwise(aligned(onp.maximum), lambda g, z, x, y: g * (x >= y), lambda g, z, x, y: g * (x < y))
minimum = elementwise(aligned(onp.minimum), lambda g, z, x, y: g * (x <= y), lambda g, z, x, y: g * (x > y))
hypot = elementwise(whole(onp.hypot), lambda g, z, x, y: g * x / z, lambda g, z, x, y: g * y / z)
arctan2 = elementwise(
    whole(onp.arctan2), lambda g, z, x, y: g * y / (x * x + y * y), lambda g, z, x, y: -g * x / (x * x + y * y)
)
ldexp = elementwise(whole(_ldexp), lambda g, z, x, y: g * 2.0**y, lambda g, z, x, y: g * z * math.log(2), name="ldexp")
copysign = elementwise(whole(onp.copysign), lambda g, z, x, y: g * sign(x) * sign(z), zero)

negative = elementwise(_negative, lambda g, z, x: -g, name="negative")
absolute = elementwise(onp.absolute, lambda g, z, x: g * sign(x))
square = elementwise(onp.square, lambda g, z, x: 2.0 * g * x)
reciprocal = elementwise(real(onp.reciprocal), lambda g, z, x: -g * z * z)
sqrt = elementwise(real(onp.sqrt), lambda g, z, x: g / (2.0 * z))
cbrt = elementwise(real(onp.cbrt), lambda g, z, x: g / (3.0 * z * z))
exp = elementwise(real(onp.exp), lambda g, z, x: g * z)
expm1 = elementwise(real(onp.expm1), lambda g, z, x: g * (z + 1.0))
log = elementwise(real(onp.log), lambda g, z, x: g / x)
log2 = elementwise(real(onp.log2), lambda g, z, x: g / (x * math.log(2)))
log10 = elementwise(real(onp.log10), lambda g, z, x: g / (x * math.log(10)))
log1p = elementwise(real(onp.log1p), lambda g, z, x: g / (1.0 + x))
sin = elementwise(real(onp.sin), lambda g, z, x: g * cos(x))
cos = elementwise(real(onp.cos), lambda g, z, x: -g * sin(x))
tan = elementwise(real(onp.tan), lambda g, z, x: g * (1.0 + z * z))
arcsin = elementwise(real(onp.arcsin), lambda g, z, x: g / sqrt(1.0 - x * x))
arccos = elementwise(real(onp.arccos), lambda g, z, x: -g / sqrt(1.0 - x * x))
arctan = elementwise(real(onp.arctan), lambda g, z, x: g / (1.0 + x * x))
sinh = elementwise(real(onp.sinh), lambda g, z, x: g * cosh(x))
cosh = elementwise(real(onp.cosh), lambda g, z, x: g * sinh(x))
tanh = elementwise(real(onp.tanh), lambda g, z, x: g * (1.0 - z * z))
arcsinh = elementwise(real(onp.arcsinh), lambda g, z, x: g / sqrt(x * x + 1.0))
arccosh = elementwise(real(onp.arccosh), lambda g, z, x: g / sqrt(x * x - 1.0))
arctanh = elementwise(real(onp.arctanh), lambda g, z, x: g / (1.0 - x * x))
degrees = elementwise(real(onp.degrees), lambda g, z, x: g * (180.0 / math.pi))
radians = elementwise(real(onp.radians), lambda g, z, x: g * (math.pi / 180.0))

sign = elementwise(onp.sign, zero)
floor = elementwise(rounding(onp.floor), zero)
ceil = elementwise(rounding(onp.ceil), zero)
trunc = elementwise(rounding(onp.trunc), zero)
rint = elementwise(rounding(onp.rint), zero)
fix = elementwise(rounding(onp.trunc), zero, name="fix")


@op
def where(condition, x=None, y=None):
    """Return x where condition holds, else y, with broadcasting; of the condition alone, the places where it holds."""
    if x is None or y is None:
        if x is not y:
            raise TypeError("where takes the condition alone, or x and y, too")
        return tuple(onp.nonzero(onp.atleast_1d(condition)))
    if type(x) in (int, float) and type(y) in (int, float):
        x, y = onp.float32(x), onp.float32(y)  # numbers become the default dtype
    if onp.ndim(condition) and condition.dtype != bool:
        condition = condition != 0
    return onp.where(condition, *align(x, y, getattr(x, "dtype", None), getattr(y, "dtype", None)))


@where.vjp("condition")
def _(g, z, condition, x, y):
    return condition * 0.0  # a choice moves in steps


@where.vjp("x")
def _(g, z, condition, x, y):
    return fit(where(condition, g, 0.0), x.shape)


@where.vjp("y")
def _(g, z, condition, x, y):
    return fit(where(condition, 0.0, g), y.shape)


@op
def clip(a, *, a_min=None, a_max=None):
    """min(max(a, a_min), a_max), number by number; None leaves a side open. The dtype of a is kept."""
    if a_min is None and a_max is None:
        raise ArgumentError("clip needs a_min or a_max; both are None.")
    if any(isinstance(bound, Variable) for bound in (a_min, a_max)):
        raise TypeError("the bounds of clip are numbers; with arrays write np.minimum(np.maximum(a, a_min), a_max)")
    return onp.asarray(onp.clip(a, a_min, a_max)).astype(getattr(a, "dtype", None), copy=False)


@clip.vjp("a")
def _(g, z, a, a_min, a_max):
    # Inside the bounds the gradient passes, at the bounds too.
    inside = (a == a) if a_min is None else (a >= a_min)
    return g * (inside if a_max is None else inside * (a <= a_max))


@op
def round(x, *, decimals=0):  # noqa: A001 - NumPy's name
    """Round to the given number of decimals, halves to even."""
    return onp.round(x, decimals)


@round.vjp("x")
def _(g, z, x, decimals=0):
    return g * 0


@op
def finite_of(x, *, nan=0.0, posinf=None, neginf=None):
    """Replace nan and the infinities by numbers."""
    return onp.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


finite_of.title = "nan_to_num"


@finite_of.vjp("x")
def _(g, z, x, nan=0.0, posinf=None, neginf=None):
    return g * isfinite(x)


def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """Replace nan and the infinities by numbers; copy=False writes into x itself."""
    out = None if copy or not isinstance(x, Variable) else x
    return finite_of(x, nan=nan, posinf=posinf, neginf=neginf, out=out)


def _truth(ufunc: Callable) -> Callable:
    """Make a comparison of `ufunc`: booleans out, no derivative."""

    def forward(x1, x2):
        return ufunc(x1, x2)

    forward.__name__ = ufunc.__name__
    forward.__doc__ = f"{ufunc.__name__}(x1, x2) number by number, as booleans."
    return discrete(forward)


def _question(ufunc: Callable) -> Callable:
    def forward(x):
        return ufunc(x)

    forward.__name__ = ufunc.__name__
    forward.__doc__ = f"{ufunc.__name__}(x) number by number."
    return discrete(forward)


equal, not_equal = _truth(onp.equal), _truth(onp.not_equal)
less, less_equal = _truth(onp.less), _truth(onp.less_equal)
greater, greater_equal = _truth(onp.greater), _truth(onp.greater_equal)
logical_and, logical_or, logical_xor = _truth(onp.logical_and), _truth(onp.logical_or), _truth(onp.logical_xor)
bitwise_and, bitwise_or, bitwise_xor = _truth(onp.bitwise_and), _truth(onp.bitwise_or), _truth(onp.bitwise_xor)
floor_divide, lcm = _truth(onp.floor_divide), _truth(onp.lcm)
logical_not, isnan, isinf, isfinite = (_question(f) for f in (onp.logical_not, onp.isnan, onp.isinf, onp.isfinite))
isposinf, isneginf, invert = _question(onp.isposinf), _question(onp.isneginf), _question(onp.invert)
