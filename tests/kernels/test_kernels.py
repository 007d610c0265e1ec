"""Every kernel against its NumPy equal: as the compiled function, and as the plain Python that a reader sees."""

import os
from functools import partial

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lblocks import npx
from d2lblocks.kernels import blas, cross_entropy, dense, update
from d2lblocks.kernels._jit import KERNELS, enabled
from d2lblocks.kernels.program import walk

EPS = onp.finfo("float32").eps
ODD = (onp.nan, onp.inf, -onp.inf)  # no 0 beside them: BLAS may leave out products with 0, where 0 inf is NaN


def drawn(rng, *shape, odd=False):
    x = rng.normal(size=shape).astype("float32")
    if odd and x.size:
        x.reshape(-1)[rng.integers(x.size, size=2)] = rng.choice(ODD, 2)
    return x


def dense_forward(rng, n, k, m, odd):
    x, w = drawn(rng, n, k, odd=odd), drawn(rng, k, m, odd=odd)
    b = drawn(rng, m) if rng.integers(2) else dense.NONE
    return x, w, b, bool(rng.integers(2)), onp.full((n, m), 9, "float32")


def dense_backward(rng, n, k, m, odd):
    g, y, x, w = drawn(rng, n, m, odd=odd), drawn(rng, n, m, odd=odd), drawn(rng, n, k), drawn(rng, k, m)
    relu, *wanted = (bool(choice) for choice in rng.integers(2, size=6))
    all_of = [onp.full(shape, 9, "float32") for shape in ((k, m), (m,), (n, k), (k, n), (n, m))]  # dw, db, dx, t, h
    some_of = [a if want else a[tuple([slice(0)] * a.ndim)] for a, want in zip(all_of, wanted, strict=True)]
    spare = n * m * relu + int(rng.integers(m, 20 * m))
    return g, y, x, w, relu, *some_of, onp.empty(spare, "float32")


def descend(rng, n, k, m, odd):
    n = min(n, dense.SHORT)
    return drawn(rng, k, n, odd=odd), drawn(rng, n, m), drawn(rng, k, m), drawn(rng, 2)


def finish(rng, n, k, m, odd):
    return drawn(rng, n, m, odd=odd), drawn(rng, m) if rng.integers(2) else dense.NONE, bool(rng.integers(2))


def ce_forward(rng, n, k, m, odd):
    scores = 30 * drawn(rng, n, m, odd=odd)
    return scores, rng.integers(m, size=n), onp.empty(n, "float32"), onp.empty((n, m), "float32")


def ce_backward(rng, n, k, m, odd):
    p = abs(drawn(rng, n, m, odd=odd))
    return drawn(rng, n), rng.integers(m, size=n), p, onp.empty((n, m), "float32")


CASES = {
    dense.forward_loop: dense_forward,
    dense.finish: finish,
    dense.backward_loop: dense_backward,
    dense.descend: descend,
    cross_entropy.forward_loop: ce_forward,
    cross_entropy.backward_loop: ce_backward,
}
SPARE = {dense.backward_loop: 1}  # so many arrays at the end hold what the kernel works with, no results


def test_every_kernel_has_a_case():
    assert set(KERNELS) == {
        *CASES,
        walk,
        update.sgd,
        update.momentum,
        update.adam,
    }  # those that take tables have files of their own


def called(function, args, spare=0):
    args = [a.copy() if isinstance(a, onp.ndarray) else a for a in args]
    with onp.errstate(all="ignore"):
        function(*args)
    return [a for a in args[: len(args) - spare] if isinstance(a, onp.ndarray)]


def agree(found, right, exact, terms):
    for a, b in zip(found, right, strict=True):
        if exact:
            onp.testing.assert_array_equal(a, b)
        else:  # sums of `terms` products in another order
            onp.testing.assert_allclose(a, b, rtol=8 * EPS * terms, atol=8 * EPS * terms)


@pytest.mark.parametrize("kernel", CASES, ids=lambda kernel: kernel.__name__)
@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 9), k=st.integers(1, 40), m=st.integers(1, 40), odd=st.booleans(), seed=st.integers(0, 2**32))
def test_kernel_equals_numpy(kernel, n, k, m, odd, seed):
    args = CASES[kernel](onp.random.default_rng(seed), n, k, m, odd)
    right, *found = (
        called(function, args, SPARE.get(kernel, 0))
        for function in (kernel.equal, partial(by_machine, kernel), kernel.loop)[: 3 if n * k * m < 500 else 2]
    )
    for one in found:
        agree(one, right, kernel.exact, 30 * max(n, k, m))


def by_machine(kernel, *args):
    assert kernel.fast(*args) == enabled()
    if not enabled():
        kernel.equal(*args)


def test_kernels_are_compiled_where_they_can_be():
    assert [kernel.ready() for kernel in KERNELS] == [enabled()] * len(KERNELS)


@pytest.mark.parametrize(
    ("n", "k", "m"),
    [
        (1, 20, 40),
        (64, 1100, 40),
        (1, 600, 40),
        (9, 800, 700),
        (200, 600, 300),
        (2000, 70, 130),
        (130, 5, 140),
        (128, 61, 128),
    ],
)
@pytest.mark.parametrize("relu", [False, True])
def test_dense_by_kernels_and_by_blas(n, k, m, relu):
    rng = onp.random.default_rng(0)
    x, w, b, g = drawn(rng, n, k), drawn(rng, k, m), drawn(rng, m), drawn(rng, n, m)
    y = x.astype("float64") @ w + b
    y = onp.maximum(y, 0) if relu else y
    found = dense.forward(x, w, b, relu)
    onp.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-3)
    dw, db = onp.empty_like(w), onp.empty_like(b)
    dx = dense.backward(g, found, x, w, relu, dw, db, True)
    h = onp.where(found > 0, g, 0).astype("float64") if relu else g.astype("float64")
    for gradient, right in ((dx, h @ w.T), (dw, x.T @ h), (db, h.sum(0))):
        onp.testing.assert_allclose(gradient, right, rtol=1e-4, atol=1e-3)
    assert dense.backward(g, found, x, w, relu, None, db, False) is None


@pytest.mark.parametrize(("n", "k", "m"), [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)])
def test_dense_of_nothing(n, k, m):
    x, w, b, g = (onp.ones(shape, "float32") for shape in ((n, k), (k, m), (m,), (n, m)))
    onp.testing.assert_array_equal(dense.forward(x, w, b, True), x @ w + b)
    dw, db = onp.full((k, m), 9, "float32"), onp.full(m, 9, "float32")
    dx = dense.backward(g, g, x, w, True, dw, db, True)
    for found, right in ((dx, g @ w.T), (dw, x.T @ g), (db, g.sum(0))):
        onp.testing.assert_array_equal(found, right)


def test_gradients_that_do_not_fit():
    x, w, y = onp.zeros((2, 3), "float32"), onp.zeros((3, 4), "float32"), onp.zeros((2, 4), "float32")
    for g, dw in ((y[:1], w), (y, w[:2])):
        with pytest.raises(ValueError, match="do not fit"):
            dense.backward(g, y, x, w, False, dw, None, True)


@pytest.mark.skipif(not enabled(), reason="there is no machine code")
def test_machine_code_takes_every_float32_in_its_order_and_no_other():
    a = onp.ones((2, 3), "float32").view(onp.dtype("float32").newbyteorder("="))
    frozen = a.copy()
    frozen.flags.writeable = False
    odd = onp.zeros(25, "uint8")[1:].view("float32").reshape(2, 3)  # at an odd address
    other = (a.view(onp.dtype("float32").newbyteorder("S")), a.astype("float64"), a[:, ::2], a.T.copy().T, a[0], None, 1.0,
             frozen, odd, a.view(onp.recarray), onp.ma.array(a), [[1.0]])  # fmt: skip
    assert dense.finish.fast(a, dense.NONE, False) is True
    assert [dense.finish.fast(x, dense.NONE, False) for x in other] == [False] * len(other)
    assert not dense.finish.fast(a, dense.NONE) and not dense.finish.fast()
    table, numbers = onp.array([[6, a.ctypes.data, a.ctypes.data]]), onp.array([[-1.0, 1.0, 0.0, 0.0]])
    assert not update.sgd.fast(table, numbers.astype("float32"), 6) and not update.sgd.fast(
        table.astype("int32"), numbers, 6
    )
    assert (a == 1).all() and update.sgd.fast(table, numbers, 6) and (a == 2).all()
    with pytest.raises(TypeError):
        dense.finish.fast(a, b=dense.NONE)


@pytest.mark.parametrize("machine", [True, False])
@pytest.mark.parametrize("many", [dense.MANY, 0])
@pytest.mark.parametrize("kind", [("float32", "C"), ("float32", "F"), ("float64", "C")])
def test_dense_by_every_way(monkeypatch, machine, many, kind):
    monkeypatch.setattr(dense, "MANY", many)
    if not machine:
        for kernel in (dense.forward_loop, dense.finish, dense.backward_loop):
            monkeypatch.setattr(kernel, "fast", lambda *_: False)
    rng = onp.random.default_rng(0)
    x, w, b, g = (onp.asarray(drawn(rng, *shape), *kind) for shape in ((3, 4), (4, 5), (5,), (3, 5)))
    y = dense.forward(x, w, b, True)
    onp.testing.assert_allclose(y, onp.maximum(x @ w + b, 0), rtol=1e-5, atol=1e-5)
    dw, db = onp.empty_like(w), onp.empty_like(b)
    dx, h = dense.backward(g, y, x, w, True, dw, db, True), onp.where(y > 0, g, 0)
    for found, right in ((dx, h @ w.T), (dw, x.T @ h), (db, h.sum(0))):
        onp.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor")
def test_a_product_of_middle_size_is_for_blas_where_several_threads_share_it():
    limits = npx.set_num_threads(1)
    try:
        assert not dense.for_blas(128, 784 * 256)
        npx.set_num_threads(2)
        if blas.threads() > 1:  # not every BLAS can be told
            assert dense.for_blas(128, 784 * 256)
        assert not dense.for_blas(8, 784 * 256)
    finally:
        limits.restore_original_limits()


@pytest.mark.parametrize(("x", "w", "b"), [((2, 3), (4, 5), (5,)), ((2, 4), (4, 5), (1,)), ((2, 4), (4, 5), (0,))])
def test_a_loop_never_reads_past_the_end(x, w, b):
    x, w, b = (onp.zeros(shape, "float32") for shape in (x, w, b))
    with pytest.raises(ValueError, match="do not fit"):
        dense.forward(x, w, b, False)
