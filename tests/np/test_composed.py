"""Gradients of functions that are made of other ops: against central differences in float64."""

import numpy as onp
import pytest

from d2lblocks import autograd, np

A = onp.array([[0.3, -1.2, 2.0], [1.1, 0.4, -0.7]])
Q = onp.array([[2.0, 0.5], [-0.25, 1.5]])
V = onp.array([0.5, -1.0, 2.5])


def fixed(values):
    return np.array(onp.array(values))


FUNCTIONS = {
    "quantile": (lambda x: np.quantile(x, 0.3, axis=1), A),
    "quantile of several": (lambda x: np.quantile(x, fixed([0.0, 0.4, 1.0]), axis=0, keepdims=True), A),
    "percentile nearest": (lambda x: np.percentile(x, 40, interpolation="nearest"), A),
    "percentile midpoint": (lambda x: np.percentile(x, 50, interpolation="midpoint"), A),
    "insert into": (lambda x: np.insert(x, [1, 1, 2], 5.0, axis=1), A),
    "insert values": (lambda x: np.insert(fixed(A), 1, x, axis=0), V),
    "delete": (lambda x: np.delete(x, slice(0, 2), axis=1), A),
    "resize": (lambda x: np.resize(x, (4, 4)), A),
    "polyval, x": (lambda x: np.polyval(fixed(V), x), A),
    "polyval, p": (lambda p: np.polyval(p, fixed(A)), V),
    "diff": (lambda x: np.diff(x, n=2, prepend=1.0, append=2.0), A),
    "ediff1d": (lambda x: np.ediff1d(x, to_begin=3.0, to_end=fixed([1.0, 2.0])), A),
    "bincount": (lambda w: np.bincount(np.array([0, 2, 2]), w, minlength=4), V),
    "average, a": (lambda x: np.average(x, axis=1, weights=fixed(abs(V))), A),
    "average, w": (lambda w: np.average(fixed(A), axis=1, weights=w), abs(V)),
    "var": (lambda x: np.var(x, axis=1, ddof=1), A),
    "std": (lambda x: np.std(x, axis=0, keepdims=True), A),
    "diagflat": (lambda x: np.diagflat(x, k=1), A),
    "tile": (lambda x: np.tile(x, (2, 1, 2)), A),
    "rot90": (lambda x: np.rot90(x, 3), A),
    "moveaxis": (lambda x: np.moveaxis(x, 0, 1), A),
    "append": (lambda x: np.append(x, x * 2), A),
    "array_split": (lambda x: np.array_split(x, 2, axis=1)[0], A),
    "broadcast_arrays": (lambda x: np.broadcast_arrays(x, fixed(A))[0], V),
    "tensordot": (lambda x: np.tensordot(x, fixed(A), axes=((0, 1), (1, 0))), A.T),
    "einsum trace": (lambda x: np.einsum("ii", x), Q),
    "einsum diagonal": (lambda x: np.einsum("ii,ij->j", x, x), Q),
    "einsum three labels": (lambda x: np.einsum("iij,j->i", np.stack([x, x], axis=1), x[0]), Q),
    "norm 1": (lambda x: np.linalg.norm(x, 1), A),
    "norm 2": (lambda x: np.linalg.norm(x, 2), A),
    "norm nuc": (lambda x: np.linalg.norm(x, "nuc"), A),
    "norm 3": (lambda x: np.linalg.norm(x, 3, axis=1), A),
    "norm inf": (lambda x: np.linalg.norm(x, onp.inf, axis=0), A),
    "matrix_power": (lambda x: np.linalg.matrix_power(x, 3), Q),
    "matrix_power -2": (lambda x: np.linalg.matrix_power(x, -2), Q),
    "multi_dot": (lambda x: np.linalg.multi_dot([x, x.T, x]), A),
    "tensorinv": (lambda x: np.linalg.tensorinv(x.reshape(2, 1, 2), ind=1), Q),
    "tensorsolve": (lambda x: np.linalg.tensorsolve(x, fixed([1.0, 2.0])), Q),
    "2 ** x": (lambda x: 2**x, A),
    "where condition": (lambda x: np.where(x, x, x * 2) * x, A),
    "logspace of item": (lambda x: x * np.logspace(0, 1, 3, dtype="float64"), V),
}


def total(function, raw):
    y = function(fixed(raw))
    return float((y * fixed(onp.cos(onp.arange(y.size) + 0.5)).reshape(y.shape)).sum())


@pytest.mark.parametrize("case", FUNCTIONS.values(), ids=FUNCTIONS)
def test_gradient(case):
    function, raw = case
    x = fixed(raw)
    x.attach_grad()
    with autograd.record():
        y = function(x)
        s = (y * fixed(onp.cos(onp.arange(y.size) + 0.5)).reshape(y.shape)).sum()
    s.backward()
    assert y.dtype == "float64"
    expected = onp.zeros_like(raw)
    for place in onp.ndindex(raw.shape):
        step = onp.zeros_like(raw)
        step[place] = 1e-6
        expected[place] = (total(function, raw + step) - total(function, raw - step)) / 2e-6
    onp.testing.assert_allclose(x.grad.asnumpy(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "function", [np.std, np.linalg.norm, lambda x: np.std(x, axis=()), lambda x: np.linalg.norm(x, axis=0)]
)
def test_lengths_of_nothing_have_slope_zero(function):
    x = np.zeros(3)
    x.attach_grad()
    with autograd.record():
        y = function(x)
    y.backward()
    assert x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["quantile", "percentile"])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles_equal_numpy(name, axis, interpolation):
    q = onp.array([0.1, 0.5, 0.77]) * (100 if name == "percentile" else 1)
    for keepdims in (False, True):
        found = getattr(np, name)(fixed(A), fixed(q), axis, interpolation=interpolation, keepdims=keepdims)
        right = getattr(onp, name)(A, q, axis, method=interpolation, keepdims=keepdims)
        assert found.shape == right.shape
        onp.testing.assert_allclose(found.asnumpy(), right, rtol=1e-12)


INSERTS = [
    (1, 5.0, None), (1, 5.0, 0), ([0, 2], 7.0, 1), ([1, 1], [[8.0, 9.0]], 1), (slice(0, 2), 1.0, 1), (-1, V, 0),
    ([2], V[:2, None], 1), (0, V[:2], 1), ([], 1.0, 1), ([1], [[4.0], [5.0]], 1), (onp.array([True, False, True]), 3.0, 1),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "values", "axis"), INSERTS, ids=range(len(INSERTS)))
def test_insert_equals_numpy(obj, values, axis):
    ours = fixed(values) if isinstance(values, onp.ndarray) else values
    found = np.insert(fixed(A), obj, ours, axis)
    onp.testing.assert_array_equal(found.asnumpy(), onp.insert(A, obj, values, axis))


@pytest.mark.parametrize(
    "obj", [1, -1, [0, 2], [0, 0], slice(None, None, 2), [], onp.array([True, False, True])], ids=repr
)
def test_delete_equals_numpy(obj):
    onp.testing.assert_array_equal(np.delete(fixed(A), obj, 1).asnumpy(), onp.delete(A, obj, 1))
    ours = np.array(obj) if isinstance(obj, onp.ndarray) else obj
    onp.testing.assert_array_equal(np.delete(fixed(A), ours, 1).asnumpy(), onp.delete(A, obj, 1))
