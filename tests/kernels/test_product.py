"""The product on memory: for every kind of processor, right inside y and nothing written around it."""

import importlib

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lblocks.kernels._jit import enabled
from d2lblocks.kernels.product import SHORT, address, array, product, transpose

EPS = onp.finfo("float32").eps
CANARY = 9.0
# What a processor offers, as `simd.Host`: AVX-512, AVX2, NEON, none of these; None is the plain Python.
HOSTS = {
    "plain": None,
    "avx512": (16, True, {12: (2, 1), 8: (2, 1), 4: (4, 1), 2: (8, 1), 1: (16, 4, 1)}),
    "avx2": (8, True, {6: (2, 1), 4: (2, 1), 2: (4, 1), 1: (8, 1)}),
    "unmasked": (4, False, {4: (2, 1), 2: (4, 1), 1: (8, 1)}),
}


@pytest.fixture(scope="module", params=HOSTS)
def made(request):
    """The inner functions by name, for one kind of processor."""
    if HOSTS[request.param] is None:
        return {"product": product.plain, "transpose": transpose.plain}
    if not enabled():
        pytest.skip("Numba is not installed, or switched off")
    simd = importlib.import_module("d2lblocks.kernels.simd")
    return {name: make(simd.Host(*HOSTS[request.param])) for name, make in simd.WRITTEN.items()}


def padded(rng, rows, columns):
    """Return numbers, NaN after each row."""
    a = onp.full((rows, columns + int(rng.integers(3))), onp.nan, "float32")
    a[:, :columns] = rng.normal(size=(rows, columns))
    return a


def multiplied(function, rng, n, k, m, odd):
    """Multiply random numbers and return the result, the right one and a bound of the error of a sum in float32."""
    across = bool(rng.integers(2))
    x, w, y = padded(rng, *((k, n) if across else (n, k))), padded(rng, k, m), padded(rng, n + 2, m)
    plain = (x[:, :n].T if across else x[:, :k]), w[:, :m]
    if odd and plain[0].size and plain[1].size:
        for a in plain:
            a[rng.integers(a.shape[0]), rng.integers(a.shape[1])] = rng.choice([onp.nan, onp.inf, -onp.inf])
    y[:, m:] = y[[0, -1]] = CANARY
    relu, addend = bool(rng.integers(2)), rng.integers(3)
    bias = rng.normal(size=m).astype("float32")
    added = (onp.zeros(m), bias, y[1:-1, :m].astype("float64"))[addend]
    inside = address(y) + y.strides[0]
    x_row, x_col = (1, x.shape[1]) if across else (x.shape[1], 1)
    b, b_row = ((0, 0), (address(bias), 0), (inside, y.shape[1]))[addend]
    function(n, k, m, address(x), x_row, x_col, address(w), w.shape[1], inside, y.shape[1], b, b_row, relu, 0)
    with onp.errstate(all="ignore"):
        right = plain[0].astype("float64") @ plain[1] + added
        right = onp.where(right < 0, 0, right) if relu else right
        bound = abs(plain[0]).astype("float64") @ abs(plain[1]) + abs(added)
    assert (y[[0, -1]] == CANARY).all()
    assert (y[:, m:] == CANARY).all()
    return y[1:-1, :m], right, (k + 1) * EPS * bound


@settings(max_examples=80, deadline=None)
@given(n=st.integers(0, 30), k=st.integers(0, 40), m=st.integers(0, 150), odd=st.booleans(), seed=st.integers(0, 2**32))
def test_product(made, n, k, m, odd, seed):
    found, right, bound = multiplied(made["product"], onp.random.default_rng(seed), n, k, m, odd)
    usual = onp.isfinite(right)
    onp.testing.assert_array_equal(found[~usual], right[~usual])
    assert (abs(found[usual] - right[usual]) <= bound[usual]).all()


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 30), k=st.integers(0, SHORT), m=st.integers(1, 150), seed=st.integers(0, 2**32))
def test_a_step_downhill_is_that_of_the_product_to_the_last_bit(made, n, k, m, seed):
    rng = onp.random.default_rng(seed)
    x, w, step = (rng.normal(size=shape).astype("float32") for shape in ((n, k), (k, m), 2))
    z, y = onp.empty((n, m), "float32"), padded(rng, n + 2, m)
    y[:, m:] = y[[0, -1]] = CANARY
    before = y.copy()
    rescale, eta = step
    inside = address(y) + y.strides[0]
    made["product"](n, k, m, address(x), k, 1, address(w), m, address(z), m, 0, 0, 0, 0)
    made["product"](n, k, m, address(x), k, 1, address(w), m, inside, y.shape[1], inside, y.shape[1], 0, address(step))
    before[1:-1, :m] -= eta * (z * rescale)
    onp.testing.assert_array_equal(y, before)


def test_array_of_an_address():
    a = onp.arange(12, dtype="float32").reshape(3, 4)
    onp.testing.assert_array_equal(array(address(a[:, 1:]), 3, 2, 4), a[:, 1:3])
    onp.testing.assert_array_equal(array(address(a), 4, 3, 1, 4), a.T)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(0, 40), columns=st.integers(0, 40), seed=st.integers(0, 2**32))
def test_transpose(made, rows, columns, seed):
    rng = onp.random.default_rng(seed)
    a, t = padded(rng, rows, columns), padded(rng, columns + 2, rows)
    t[...] = CANARY
    made["transpose"](rows, columns, address(a), a.shape[1], address(t) + t.strides[0], t.shape[1])
    onp.testing.assert_array_equal(t[1:-1, :rows], a[:, :columns].T)
    t[1:-1, :rows] = CANARY
    assert (t == CANARY).all()
