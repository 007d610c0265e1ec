"""Bad input to arrays and array functions."""

import operator

import numpy as onp
import pytest

from d2lblocks import autograd, np, npx
from tests.errors.rows import check_table, covers, refused

NAN, INF = float("nan"), float("inf")
X, V, ZERO_D = np.ones((2, 3)), np.ones(3), np.array(3.0)
OFFICIAL = onp.ones((2, 3))
BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.mod, operator.pow, operator.matmul,
          operator.floordiv, operator.lt, operator.ge, operator.eq, operator.ne, operator.and_]  # fmt: skip
PLAIN = (operator.add, operator.sub, operator.mul, operator.matmul, operator.lt)


def both_ways(row, f, value, *words):
    return [(row, lambda: f(X, value), TypeError, *words), (row, lambda: f(value, X), TypeError, *words)]


def write(key, value, array=None):
    def action():
        y = np.ones((2, 3)) if array is None else array()
        before = y.asnumpy()
        try:
            y[key] = value
        finally:
            assert (y.asnumpy() == before).all()

    return action


def update(f, dtype, value):
    def action():
        y = np.ones(2, dtype=dtype)
        try:
            f(y, value)
        finally:
            assert y.tolist() == [1, 1] and y.dtype == dtype

    return action


TABLE = [
    *(c for f in BINARY for c in both_ways("A1", f, OFFICIAL, "numpy.ndarray", "np.array(...)")),
    *(c for f in (np.dot, np.matmul, np.maximum, np.arctan2, np.inner, np.tensordot, np.append, np.power)
      for c in both_ways("A1", f, OFFICIAL, "numpy.ndarray", "np.array(...)")),
    *(("A1", lambda f=f: f(OFFICIAL), TypeError, "numpy.ndarray", "np.array(...)")
      for f in (np.exp, np.sum, np.mean, np.sort, np.ravel, np.transpose, np.concatenate, np.linalg.norm, npx.relu,
                npx.softmax)),
    ("A1", lambda: np.concatenate([X, OFFICIAL]), TypeError, "concatenate", "numpy.ndarray"),
    ("A1", lambda: np.where(X > 0, X, OFFICIAL), TypeError, "where", "numpy.ndarray"),
    ("A1", lambda: onp.remainder(OFFICIAL, X), TypeError, "mod", "numpy.ndarray"),
    ("A1", lambda: onp.left_shift(OFFICIAL, X), TypeError, "numpy.left_shift", "np.array(...)"),
    *(("A1", lambda f=f: f(onp.ones((2, 2)), np.ones((2, 2))), TypeError, "beside numpy.ndarrays", "np.array(...)")
      for f in (operator.imatmul, operator.iadd, operator.iand, operator.ifloordiv)),
    *(c for f in PLAIN for c in both_ways("A2", f, [1, 2], "list", "ndarray")),
    *(c for f in PLAIN for c in both_ways("A2", f, None, "NoneType", "ndarray", "return")),
    *(c for f in PLAIN for c in both_ways("A2", f, "a", "str", "ndarray")),
    *(("A2", lambda f=f: f([[1, 2]]), TypeError, "list", "np.array(...)")
      for f in (np.std, np.var, np.split, np.tile, np.diag, np.linalg.norm, np.zeros_like, np.size, np.sum, np.max)
      if f not in (np.split, np.tile)),
    ("A2", lambda: np.split([1, 2], 2), TypeError, "split", "list"),
    ("A2", lambda: np.tile([1, 2], 2), TypeError, "tile", "list"),
    ("A2", lambda: np.stack([X, None]), TypeError, "stack", "NoneType"),
    ("A2", lambda: npx.softmax([[1.0]], length=np.ones(1), use_length=True), TypeError, "softmax takes arrays", "list"),
    ("A2", lambda: np.hypot(X, None), TypeError, "hypot", "NoneType"),
    ("A2", lambda: np.transpose(None), TypeError, "transpose", "NoneType"),
    ("A2", lambda: X @ 3, TypeError, "matmul", "int"),
    ("A4", lambda: np.array([[1, 2], [3]]), TypeError, "different lengths", "[[1, 2], [3]]"),
    ("A4", lambda: np.array([[1, 2], [3]]), ValueError, "different lengths"),
    ("A4", lambda: np.array([X, V]), ValueError, "different lengths"),
    *(("A4", lambda v=v: np.array(v), TypeError, word) for v, word in (
        (["a"], "'a'"), ("abc", "'abc'"), ([[1, "2"]], "'2'"), ([1j], "1j"), ({1: 2}, "dict"), (b"a", "bytes"),
        (onp.array(["a"]), "'a'"), (onp.array([1j]), "complex"), (iter([1]), "iterator"), (operator, "module"))
      if word not in ("iterator", "module")),
    ("A5", lambda: np.array([None, 1]), TypeError, "None"),
    ("A5", lambda: np.array(None), TypeError, "None"),
    ("A5", lambda: np.array([[1, None]]), TypeError, "None"),
    ("A5", lambda: np.full(2, None), TypeError, "None"),
    ("A5", write(0, None), TypeError, "None"),
    ("A5", write(0, [1, None, 2]), TypeError, "None"),
    *(("A6", lambda f=f, d=d: f(d), TypeError, "float32, float64", d if isinstance(d, str) else "int16")
      for d in ("int16", "uint32", "complex64", "foo", "bfloat16", onp.int16, onp.dtype("int16"))
      for f in (lambda d: np.array([1, 2], dtype=d), lambda d: np.array(X, dtype=d), lambda d: np.zeros(2, dtype=d),
                lambda d: X.astype(d), lambda d: X.sum(dtype=d), lambda d: X.mean(dtype=d), lambda d: np.arange(3, dtype=d),
                lambda d: np.random.uniform(size=2, dtype=d), lambda d: npx.one_hot(V, 3, dtype=d))),
    ("A6", lambda: np.array(onp.array([1], "uint16")), TypeError, "uint16", "float32"),
    ("A6", lambda: np.zeros(2, dtype=3), TypeError, "3"),
    *(("A7", f, ValueError, "(2, 3)", "(2,)") for f in (
        lambda: X + np.ones(2), lambda: np.ones(2) * X, lambda: np.maximum(X, np.ones(2)), lambda: X < np.ones(2),
        lambda: operator.iadd(np.ones((2, 3)), np.ones(2)), lambda: np.where(X > 0, X, np.ones(2)),
        lambda: np.broadcast_arrays(X, np.ones(2)), lambda: X @ np.ones(2), lambda: np.inner(X, np.ones(2)))),
    ("A7", lambda: X.reshape(5, 5), ValueError, "(2, 3)", "(5, 5)"),
    ("A7", lambda: X.reshape(4, -1), ValueError, "(2, 3)", "(4, -1)"),
    ("A7", lambda: np.broadcast_to(X, (3, 3)), ValueError, "(2, 3)", "(3, 3)"),
    ("A7", lambda: np.concatenate([X, np.ones((1, 2))]), ValueError, "concatenate", "(2, 3)", "(1, 2)"),
    ("A7", lambda: np.concatenate([X, V]), ValueError, "concatenate", "(2, 3)", "(3,)"),
    ("A7", lambda: np.stack([X, V]), ValueError, "(2, 3)", "(3,)"),
    ("A7", lambda: np.vstack([X, np.ones(2)]), ValueError, "(2, 3)", "(1, 2)"),
    ("A7", lambda: np.dot(X, X), ValueError, "(2, 3) float32, (2, 3)", "differ"),
    ("A7", lambda: npx.batch_dot(X, X), ValueError, "(2, 3)"),
    ("A7", lambda: np.ones((2, 3, 4)) @ np.ones((3, 4, 5)), ValueError, "(2, 3, 4)", "(3, 4, 5)"),
    ("A7", lambda: np.einsum("ij,jk->ik", X, X), ValueError, "einsum", "(2, 3)"),
    *(("A7", f, IndexError, "axis 5", "(2, 3)") for f in (
        lambda: X.sum(axis=5), lambda: X.mean(axis=5), lambda: X.max(axis=5), lambda: X.argmax(axis=5),
        lambda: X.var(axis=5), lambda: np.std(X, axis=5), lambda: np.sort(X, axis=5), lambda: np.diff(X, axis=5),
        lambda: np.split(X, 1, axis=5), lambda: np.swapaxes(X, 0, 5), lambda: np.moveaxis(X, 0, 5),
        lambda: np.linalg.norm(X, axis=5), lambda: npx.softmax(X, axis=5), lambda: np.concatenate([X, X], axis=5))),
    ("A7", lambda: X.sum(axis=1.5), TypeError, "(2, 3)", "axis=1.5"),
    ("A7", lambda: np.split(X, 4), ValueError, "4 sections"),
    ("A7", lambda: np.array_split(X, 0), ValueError, "array_split", "0"),
    ("A7", lambda: np.zeros((0,)).max(), ValueError, "empty", "(0,)"),
    ("A7", lambda: npx.embedding(np.array([NAN]), np.ones((3, 2))), ValueError, "nan", "3 rows"),
    *(("A7", lambda k=k: X[k], IndexError, word, "(2, 3)") for k, word in (
        (7, "7"), (-3, "-3"), ((0, 9), "9"), ([0, 5], "5"), (np.array([5]), "5"), ((0, 0, 0), "3 were indexed"))),
    *(("A7", lambda k=k: X[k], ValueError, word) for k, word in ((1.5, "1.5"), ("a", "'a'"), ({}, "dict"))),
    ("A7", write(7, 1), IndexError, "7", "(2, 3)"),
    ("A8", lambda: float(X), TypeError, "size-1", "(2, 3)"),
    ("A8", lambda: int(X), TypeError, "size-1", "(2, 3)"),
    ("A8", lambda: bool(X), ValueError, "ambiguous", "(2, 3)", "x.any()"),
    ("A8", lambda: X in [V], ValueError, "ambiguous"),
    ("A8", lambda: float(np.zeros(0)), TypeError, "(0,)"),
    ("A9", lambda: bool(np.zeros((0,))), ValueError, "empty", "x.size"),
    ("A9", lambda: bool(np.zeros((2, 0))), ValueError, "empty"),
    ("A10", lambda: list(ZERO_D), TypeError, "0-d"),
    ("A10", lambda: [i for i in ZERO_D], TypeError, "0-d"),
    ("A10", lambda: len(ZERO_D), TypeError, "unsized"),
    ("A11", lambda: {X: 1}, TypeError, "unhashable"),
    ("A11", lambda: hash(ZERO_D), TypeError, "unhashable"),
    *(("A12", write(slice(None), v), ValueError, "(2, 3)", word) for v, word in (
        (np.ones(5), "(5,)"), (np.ones((3, 2)), "(3, 2)"), ([1, 2], "(2,)"), (onp.ones(5), "(5,)"))),
    ("A12", write(slice(None), [[1, 2], [3]]), ValueError, "different lengths"),
    ("A12", write(slice(None), "a"), TypeError, "'a'"),
    ("A12", write(slice(None), NAN, lambda: np.ones((2, 3), dtype="int32")), ValueError, "int32"),
    ("A12", write(slice(None), 10**30, lambda: np.ones((2, 3), dtype="int32")), ValueError, "int32"),
    *(("A13", update(f, dtype, np.array([1.5, 2.5])), TypeError, "float32", dtype)
      for f in (operator.iadd, operator.isub, operator.imul, operator.itruediv) for dtype in ("int32", "uint8", "bool")),
    *(("A15", f, MemoryError, "(1000000000, 1000000000)") for f in (
        lambda: np.zeros((10**9, 10**9)), lambda: np.full((10**9, 10**9), 1),
        lambda: np.broadcast_to(np.ones((1, 1)), (10**9, 10**9)))),
    ("A15", lambda: np.zeros((10**9, 10**9)), MemoryError, "GiB", "float32"),
    ("A15", lambda: np.pad(X, 10**9), MemoryError, "(2, 3)"),
    ("A15", lambda: np.ones((10**7, 1)) * np.ones((1, 10**7)), MemoryError, "(10000000, 10000000)"),
    ("A15", lambda: np.zeros((1,) * 65), ValueError, "64", "65"),
    *(("A15", f, ValueError, "negative", "-1") for f in (
        lambda: np.zeros(-1), lambda: np.ones((2, -1)), lambda: np.eye(-1), lambda: np.linspace(0, 1, -1),
        lambda: np.random.normal(size=-1))),
    *(("A15", f, TypeError, "2.5") for f in (
        lambda: np.zeros(2.5), lambda: np.ones((1, 2.5)), lambda: np.eye(2.5), lambda: np.linspace(0, 1, 2.5),
        lambda: np.random.uniform(size=2.5))),
]  # fmt: skip


@check_table(TABLE)
def test_refused(case):
    refused(*case[1:])


@check_table([case for case in TABLE if case[0] in ("A1", "A7")])
def test_refused_inside_record(case):
    def action():
        with autograd.record():
            case[1]()

    refused(action, *case[2:])


@covers("A3")
def test_comparison_with_none():
    for value in (X == None, None == X):  # noqa: E711
        assert value.tolist() == [[False] * 3] * 2
    for value in (X != None, None != X):  # noqa: E711
        assert value.tolist() == [[True] * 3] * 2
    assert (ZERO_D == None).tolist() is False and (np.zeros((0, 2)) == None).shape == (0, 2)  # noqa: E711
    assert X in [X] and None not in X and 1 in X and 2 not in X


@covers("A14")
@pytest.mark.parametrize("pair", [("float32", "float64", "float64"), ("float64", "float32", "float64"),
                                  ("int32", "float32", "float32"), ("float16", "float32", "float32")])  # fmt: skip
def test_mixed_dtypes_follow_numpy(pair):
    a, b, expected = pair
    product = np.ones((2, 2), dtype=a) @ np.ones((2, 2), dtype=b)
    assert product.dtype == expected and product.tolist() == [[2, 2], [2, 2]]
    assert np.dot(np.ones((2, 2), dtype=a), np.ones((2, 2), dtype=b)).dtype == expected


@covers("A16")
@pytest.mark.parametrize("act", [npx.relu, npx.sigmoid, lambda x: npx.activation(x, "softrelu"), npx.leaky_relu])
def test_nan_stays(act):
    assert np.isnan(act(np.array([NAN]))).all()
    assert np.isnan(npx.fully_connected(np.array([[NAN]]), np.ones((1, 1)), act="relu")).all()


@covers("A17")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinities_are_no_errors():
    assert (np.ones(1) / np.zeros(1)).tolist() == [INF] and (1 / np.zeros(1)).tolist() == [INF]
    assert (np.ones(1, dtype="int32") / 0).tolist() == [INF]
    assert np.log(np.zeros(1)).tolist() == [-INF] and np.exp(np.array([1000.0])).tolist() == [INF]
    for nan in (np.log(-V), np.sqrt(-V), np.zeros(1) / 0, np.array([INF]) - INF, np.zeros((0,)).mean()):
        assert np.isnan(nan).all()


def test_whole_numbers_beyond_64_bits():
    assert np.array([10**30]).tolist() == [onp.float32(1e30)]


def test_a_refused_draw_takes_no_random_number():
    def draw_after(*attempts):
        npx.random.seed(3)
        for attempt in attempts:
            with pytest.raises((RuntimeError, TypeError)):
                attempt()
        return np.random.uniform(size=2).tolist()

    gpu = npx.gpu()
    assert draw_after() == draw_after(
        lambda: np.random.uniform(size=2, ctx=gpu), lambda: np.random.normal(size=1.5), lambda: np.random.uniform("a")
    )
