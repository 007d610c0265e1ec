"""One operation on a whole array, by a kernel or by NumPy: the same numbers, whatever the array is like."""

import math

import numpy as onp
import pytest

from d2lblocks import autograd, np, npx
from d2lblocks.kernels import each, tiles
from d2lblocks.kernels._jit import enabled

RIGHT = {
    npx.erf: onp.vectorize(math.erf, otypes=["float64"]),
    npx.sigmoid: lambda x: onp.exp(onp.minimum(x, 0)) / (1 + onp.exp(-abs(x))),
}
NUMBERS = onp.concatenate([onp.linspace(-12, 12, 9996), [onp.nan, onp.inf, -onp.inf, 0]]).astype("float32")


@pytest.mark.parametrize("function", RIGHT, ids=lambda f: f.name)
@pytest.mark.parametrize("shape", ["flat", "columns first", "strided", "small", "empty", "number"])
def test_every_kind_of_array(function, shape):
    x = {
        "flat": NUMBERS,
        "columns first": NUMBERS.reshape(100, 100).T,
        "strided": onp.repeat(NUMBERS, 2)[::2],
        "small": NUMBERS[::1000],
        "empty": NUMBERS[:0].reshape(0, 3),
        "number": NUMBERS[7],
    }[shape]
    right, z = RIGHT[function](onp.asarray(x, "float64")).reshape(onp.shape(x)), function(np.array(x)).asnumpy()
    assert z.dtype == onp.float32 and z.shape == onp.shape(x)
    onp.testing.assert_allclose(z, right, rtol=4e-7, atol=1e-45)


@pytest.mark.parametrize("function", RIGHT, ids=lambda f: f.name)
def test_gradients(function):
    x = np.array(NUMBERS[:9996])
    x.attach_grad()
    with autograd.record():
        y = function(x)
    y.backward()
    exact = NUMBERS[:9996].astype("float64")
    slope = (RIGHT[function](exact + 1e-5) - RIGHT[function](exact - 1e-5)) / 2e-5
    onp.testing.assert_allclose(x.grad.asnumpy(), slope, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not enabled(), reason="Kernels are not compiled")
def test_what_a_kernel_cannot_read_is_left_to_numpy():
    strided, swapped = onp.ones((4, 4), "float32")[:, ::2], onp.ones(3, ">f4")
    for x in (1.0, onp.float32(1), strided, swapped, onp.ones(3), onp.ones(3, "int32")):
        assert each.each(tiles.ERF, x) is None
    assert each.each(tiles.ERF, onp.zeros((2, 3), "float32")).shape == (2, 3)
