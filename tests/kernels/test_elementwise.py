"""exp, tanh, sigmoid and erf against float64, over numbers of every size, within their stated error."""

import importlib
import math

import numpy as onp
import pytest

from d2lblocks.kernels import elementwise
from d2lblocks.kernels._jit import enabled

BOUNDS = {"exp": 1.0, "tanh": 2.0, "sigmoid": 2.5, "erf": 2.0}  # in ulp
RIGHT = {
    "exp": onp.exp,
    "tanh": onp.tanh,
    "sigmoid": lambda x: onp.exp(onp.minimum(x, 0)) / (1 + onp.exp(-abs(x))),
    "erf": onp.vectorize(math.erf, otypes=["float64"]),
}
EVERY = onp.arange(0, 0x7F800000, 30011, dtype="uint32").view("float32")  # positive numbers, evenly among all bits
NUMBERS = onp.concatenate([EVERY, -EVERY, onp.linspace(-6, 6, 200001), onp.linspace(-110, 95, 200001)]).astype(
    "float32"
)
ODD = onp.array([onp.nan, onp.inf, -onp.inf, 0.0, -0.0, 1e-45, -1e-45], "float32")


@pytest.fixture(params=BOUNDS)
def name(request):
    return request.param


def applied(name, x, compiled):
    """Apply the function to every number, in a loop as in a kernel."""
    function = getattr(elementwise, name)

    def loop(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    if compiled:
        loop = importlib.import_module("numba").njit(error_model="numpy", fastmath={"contract"})(loop)
    y = onp.empty_like(x)
    with onp.errstate(all="ignore"):
        loop(x, y)
    return y


def errors(found, right):
    """Return the distance of finite results from the right ones, in ulp."""
    near = right.astype("float32")
    onp.testing.assert_array_equal(onp.isfinite(found), onp.isfinite(near))
    ulp = onp.spacing(onp.maximum(abs(near), onp.float32(1e-45)))
    usual = onp.isfinite(near)
    return abs(found[usual].astype("float64") - right[usual]) / ulp[usual]


@pytest.mark.skipif(not enabled(), reason="Kernels are not compiled")
def test_error_of_the_compiled(name):
    with onp.errstate(all="ignore"):
        right = RIGHT[name](NUMBERS.astype("float64"))
        assert errors(applied(name, NUMBERS, True), right).max() <= BOUNDS[name]


def test_error_of_the_plain(name):
    x = NUMBERS[::997]
    with onp.errstate(all="ignore"):
        right = RIGHT[name](x.astype("float64"))
        assert errors(applied(name, x, False), right).max() <= BOUNDS[name] + 0.5  # without fma


@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=pytest.mark.skipif(not enabled(), reason="Kernels are not compiled"))]
)
def test_odd_numbers(name, compiled):
    found, right = applied(name, ODD, compiled), RIGHT[name](ODD.astype("float64")).astype("float32")
    onp.testing.assert_array_equal(found[:5], right[:5])
    onp.testing.assert_array_equal(onp.signbit(found[1:5]), onp.signbit(right[1:5]))
    assert (abs(found[5:] - right[5:]) <= 1e-45).all()
