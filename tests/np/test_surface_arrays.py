"""Arrays as the original's surface has them: texts, dtypes, views, keywords, contexts. One row per statement."""

import copy
import operator
import pickle

import numpy as onp
import pytest

from d2lblocks import np, npx
from d2lblocks.errors import MXNetError

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
INT, LONG = np.array([1, 2], dtype="int32"), np.array([1, 2], dtype="int64")
DOUBLE, HALF, TRUTH = np.array([1.0, 2.0], dtype="float64"), np.array([1.0, 2.0], dtype="float16"), np.array([0, 1]) > 0

TEXTS = [
    # float32 by default, whatever the list holds
    (lambda: np.array([1, 2, 3]), "array([1., 2., 3.])"),
    (lambda: np.array(3), "array(3.)"),
    (lambda: np.arange(4), "array([0., 1., 2., 3.])"),
    (lambda: np.zeros((2,)), "array([0., 0.])"),
    (lambda: np.full((2,), 7), "array([7., 7.])"),
    (lambda: np.array([True, False]), "array([1., 0.])"),
    (lambda: np.array([[True], [False]]), "array([[1.],\n       [0.]])"),
    # dtypes are kept from arrays and NumPy scalars; int and float mean 64 bits
    (lambda: np.array(onp.array([1.0, 2.0])), "array([1., 2.], dtype=float64)"),
    (lambda: np.array(onp.float64(2)), "array(2., dtype=float64)"),
    (lambda: np.array(onp.array([True])), "array([ True])"),
    (lambda: np.array(INT), "array([1, 2], dtype=int32)"),
    (lambda: np.array([1, 2], dtype=int), "array([1, 2], dtype=int64)"),
    (lambda: np.array([1], dtype=float), "array([1.], dtype=float64)"),
    (lambda: np.full((2,), True), "array([ True,  True])"),
    (lambda: np.argmax(X), "array(5, dtype=int64)"),
    (lambda: np.argsort(np.array([2, 1])), "array([1, 0], dtype=int64)"),
    (lambda: np.nonzero(np.array([0, 1])), "(array([1], dtype=int64),)"),
    (lambda: np.random.randint(1, size=2), "array([0, 0], dtype=int64)"),
    # every result is an array
    (lambda: X[0, 0], "array(1.)"),
    (lambda: X.sum(), "array(21.)"),
    (lambda: np.linalg.norm(np.array([3, 4])), "array(5.)"),
    (lambda: type(np.random.uniform()).__name__, "'ndarray'"),
    (lambda: [float(X[0, 0]), int(X[0, 1]), bool(X[0, 0]), X[0, 2].item(), X[0].tolist()],
     "[1.0, 2, True, 3.0, [1.0, 2.0, 3.0]]"),
    # repr is NumPy's, float32 the silent dtype
    (lambda: LONG, "array([1, 2], dtype=int64)"),
    (lambda: HALF, "array([1., 2.], dtype=float16)"),
    (lambda: TRUTH, "array([False,  True])"),
    (lambda: np.zeros((3, 0)), "array([], shape=(3, 0))"),
    (lambda: np.zeros((0,), dtype="int32"), "array([], dtype=int32)"),
    (lambda: np.zeros((0, 2), dtype="int64"), "array([], shape=(0, 2), dtype=int64)"),
    (lambda: np.arange(2000), "array([0.000e+00, 1.000e+00, 2.000e+00, ..., 1.997e+03, 1.998e+03,\n       1.999e+03])"),
    (lambda: np.arange(2000, dtype="int64"), "array([   0,    1,    2, ..., 1997, 1998, 1999], dtype=int64)"),
    (lambda: np.arange(2000, dtype="int32"), "array([   0,    1,    2, ..., 1997, 1998, 1999], dtype=int32)"),
    (lambda: np.arange(12, dtype="int32") * 100000, "array([      0,  100000,  200000,  300000,  400000,  500000,  600000,\n"
     "        700000,  800000,  900000, 1000000, 1100000], dtype=int32)"),
    (lambda: np.array([1.0], ctx=npx.cpu(1)), "array([1.])"),
    (lambda: str(np.array([1, 2])), "'[1. 2.]'"),
    (lambda: str(np.array(3)), "'3.0'"),
    (lambda: f"{np.array(0.7):.2f} {np.array(0.5)} {np.array([1, 2])}", "'0.70 0.5 [1. 2.]'"),
    (lambda: f"{np.array(0.7)}", "'0.699999988079071'"),
    # mixed dtypes
    (lambda: (X[0, :2] + INT).dtype, "dtype('float32')"),
    (lambda: (INT + LONG).dtype, "dtype('int64')"),
    (lambda: (X[0, :2] + DOUBLE).dtype, "dtype('float64')"),
    (lambda: INT + 1.5, "array([2, 3], dtype=int32)"),
    (lambda: 1.5 + INT, "array([2, 3], dtype=int32)"),
    (lambda: INT / INT, "array([1., 1.])"),
    (lambda: INT / 2, "array([0.5, 1. ])"),
    (lambda: np.sqrt(INT), "array([1, 1], dtype=int32)"),
    (lambda: np.exp(LONG), "array([2, 7], dtype=int64)"),
    (lambda: INT.sum(), "array(3, dtype=int32)"),
    (lambda: (X > 1).sum(), "array(5, dtype=int64)"),
    (lambda: INT.mean(), "array(1.5)"),
    # mixes that the original refuses
    (lambda: INT == LONG, "array([ True,  True])"),
    (lambda: np.maximum(INT, DOUBLE), "array([1., 2.], dtype=float64)"),
    (lambda: np.where(TRUTH, INT, X[0, :2]), "array([1., 2.])"),
    (lambda: np.concatenate([INT, X[0]]), "array([1., 2., 1., 2., 3.])"),
    (lambda: np.stack([INT, LONG]).dtype, "dtype('int64')"),
    (lambda: np.dot(INT, INT), "array(5, dtype=int32)"),
    (lambda: X == None, "array([[False, False, False],\n       [False, False, False]])"),  # noqa: E711
    (lambda: X // 2, "array([[0., 1., 1.],\n       [2., 2., 3.]])"),
    # bool arrays
    (lambda: [TRUTH & TRUTH, ~TRUTH, TRUTH == TRUTH, TRUTH + TRUTH],
     "[array([False,  True]), array([ True, False]), array([ True,  True]), array([False,  True])]"),
    (lambda: -TRUTH, "array([ 0, -1], dtype=int64)"),
    (lambda: TRUTH.sum(), "array(1, dtype=int64)"),
    (lambda: TRUTH.mean(), "array(0.5)"),
    (lambda: TRUTH * X[0, :2], "array([0., 2.])"),
    (lambda: TRUTH + 0.5, "array([0.5, 1.5])"),
    (lambda: X[0] > 1, "array([False,  True,  True])"),
    (lambda: [X.dtype == "float32", X.dtype == onp.float32, X.dtype is onp.float32], "[True, True, False]"),
    # indices
    (lambda: X[0][np.array([True, False, True])], "array([2., 1., 2.])"),
    (lambda: X[0][np.array([1.0, 2.0])], "array([2., 3.])"),
    (lambda: X[0][X[0] > 1], "array([2., 3.])"),
    # numbers give numbers
    (lambda: [np.exp(0), np.add(1, 2), np.sqrt(2.25)], "[1.0, 3, 1.5]"),
    # contexts
    (lambda: [npx.cpu() == npx.cpu(0), npx.cpu() == npx.cpu(1), X.ctx, X.context], "[True, False, cpu(0), cpu(0)]"),
    (lambda: [X.as_in_ctx(X.ctx) is X, X.copyto(npx.cpu()) is X, X.copy() is X], "[True, False, False]"),
    (lambda: [X.astype("float32") is X, X.astype("float32", copy=False) is X], "[False, True]"),
    (lambda: [X.as_in_ctx(npx.cpu(1)).ctx, (X.as_in_ctx(npx.cpu(1)) + X).sum()], "[cpu(1), array(42.)]"),
    (lambda: [npx.set_np(), npx.is_np_array(), npx.is_np_shape()], "[None, True, True]"),
    (lambda: [X.size, X.ndim, X.shape, X.stype, len(X)], "[6, 2, (2, 3), 'default', 2]"),
    (lambda: round(np.array(1.6)), "array(2.)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), TEXTS, ids=[text[:40] for _, text in TEXTS])
def test_text(make, text):
    assert repr(make()) == text


ERRORS = [
    (lambda: np.array([[1, 2], [3]]), TypeError),
    (lambda: len(np.array(3)), TypeError, "len() of unsized object"),
    (lambda: bool(X), ValueError, "The truth value of an ndarray with multiple elements is ambiguous"),
    (lambda: float(X), TypeError, "only size-1 arrays can be converted to Python scalars"),
    (lambda: [1, 2][np.array(1, dtype=int)], TypeError, "list indices"),
    (lambda: np.exp(X, out=DOUBLE), MXNetError, "(2,)", "float64"),
    (lambda: np.exp(X, out=np.zeros((2,))), MXNetError, "(2, 3)", "(2,)"),
    (lambda: np.exp(X, where=False), NotImplementedError, "where=False is not implemented yet for operator exp"),
    (lambda: np.exp(X, subok=False), NotImplementedError, "subok=False"),
    (lambda: np.exp(X, dtype="float64"), NotImplementedError, "dtype=float64"),
    (lambda: np.exp(X, casting="safe"), NotImplementedError, "casting=safe"),
    (lambda: np.exp(X, dtype="abcdefg"), TypeError, "dtype=abcdefg"),
    (lambda: np.exp(X, casting="mxnet"), TypeError, "casting=mxnet"),
    (lambda: np.exp(X, order="C"), NotImplementedError, "order=C"),
    (lambda: np.exp(X, order="mxnet"), NotImplementedError, "order=mxnet"),
    (lambda: np.exp(X, foo=1), TypeError, "foo is an invalid keyword to function 'exp'"),
    (lambda: np.add(X, X, foo=1), TypeError, "foo is an invalid keyword to function 'add'"),
    (lambda: np.empty((2,), order="F"), NotImplementedError),
    (lambda: np.zeros((2,), order="F"), NotImplementedError),
    (lambda: X.copy(order="F"), NotImplementedError),
    (lambda: X.reshape(3, 2, order="F"), NotImplementedError),
    (lambda: X.astype("float32", order="F"), ValueError),
    (lambda: X.astype("float32", casting="safe"), ValueError),
    (lambda: "{:30}".format(X), TypeError, "Cannot format", "ndarray"),  # noqa: UP032
    (lambda: np.transpose(X, (0, 0)), ValueError, "repeated axis"),
    (lambda: np.transpose(X, (0, 5)), MXNetError, "5"),
    (lambda: np.sum(X, axis=5), MXNetError, "5"),
    (lambda: np.max(np.zeros((0,))), MXNetError, "empty"),
    (lambda: np.eye(-1), MXNetError, "-1"),
    (lambda: np.random.randint(5, 3), MXNetError, "low"),
    (lambda: np.matmul(X, X), MXNetError, "(2, 3)"),
    (lambda: np.random.normal(0, -1), ValueError, "scale < 0"),
    (lambda: np.random.exponential(-1), ValueError, "scale"),
    (lambda: np.random.gamma(1, -1), ValueError, "scale"),
    (lambda: np.split(X, 2, axis=1), ValueError, "array split does not result in an equal division"),
    (lambda: X[5], IndexError, "index 5 is out of bounds for axis 0 with size 2"),
    (lambda: X.__setitem__(5, 1), IndexError, "index 5 is out of bounds for axis 0 with size 2"),
    (lambda: X["a"], ValueError, "NDArray does not support slicing with key", "str"),
    (lambda: X + np.ones(2), MXNetError, "operands could not be broadcast together with shapes", "(2, 3)", "(2,)"),
    (lambda: X.reshape(5, 5), MXNetError, "annot reshape array of size 6 into shape (5, 5)"),
    (lambda: np.dot(X, X), MXNetError, "(2, 3)"),
    (lambda: np.random.seed(0), AttributeError, "seed"),
    (lambda: np.random.uniform(shape=(2,)), TypeError, "shape"),
    (lambda: np.take(X, np.array([7])), IndexError, "7"),
    (lambda: np.array([1], dtype="abcdefg"), TypeError, "abcdefg", "float32"),
    (lambda: X.astype("int16"), TypeError, "int16", "int32"),
    (lambda: np.array([1], dtype="uint8") + 300, ValueError, "too large", "uint8"),
    (lambda: np.where(X, X), TypeError, "where"),
    (lambda: np.clip(X, X, X), TypeError, "np.minimum"),
    (lambda: np.random.normal(out=np.zeros(2)), ValueError, "(2,)", "()"),
    (lambda: npx.topk(X, k=9), ValueError, "9", "3"),
    (lambda: npx.constraint_check(X > 1, "too small"), ValueError, "too small"),
    (lambda: npx.reshape(X, (-3, -1)), ValueError, "-3"),
    (lambda: npx.gpu_memory_info(), RuntimeError, "GPU"),
    (lambda: np.insert(X, 9, 1), IndexError, "9", "size 6"),
    (lambda: np.delete(X, 9, axis=1), IndexError, "9", "size 3"),
    (lambda: np.quantile(X, 1.5), ValueError, "1.5"),
]


@pytest.mark.parametrize("row", ERRORS, ids=range(len(ERRORS)))
def test_error(row):
    make, kind, *words = row
    with pytest.raises(kind) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_known_keyword_values_are_accepted():
    known = {"where": True, "subok": True, "dtype": None, "casting": "same_kind", "order": "K"}
    out = np.zeros_like(X)
    assert np.exp(X, out=out, **known) is out
    onp.testing.assert_array_equal(out.asnumpy(), np.exp(X, **known).asnumpy())


LEGACY = """abs arccos arccosh arcsin arcsinh arctan arctanh argmax_channel asscalar broadcast_axes broadcast_like cbrt ceil cos
cosh degrees depth_to_space diag exp expand_dims expm1 fix flip floor log log10 log1p log2 log_softmax nanprod nansum norm
one_hot ones_like pad pick radians rcbrt reciprocal relu reshape_like rint rsqrt shape_array sigmoid sign sin sinh size_array
slice slice_axis slice_like softmax softmin space_to_depth split split_v2 sqrt square tan tanh tile topk tostype trunc
zeros_like""".split()


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_methods_are_attribute_errors(name):
    with pytest.raises(AttributeError, match=f"ndarray object has no attribute {name}"):
        getattr(X, name)


VIEWS = [  # (part of a 3 x 4 array, does writing into it write through?)
    (lambda x: x[1:2], True),
    (lambda x: x[1], True),
    (lambda x: x[1, 2:], True),
    (lambda x: x[1, 2], True),
    (lambda x: x.detach(), True),
    (lambda x: x[:, 1:3], False),
    (lambda x: x[::2], False),
    (lambda x: x.T, False),
    (lambda x: x.reshape(4, 3), False),
    (lambda x: x[[0, 1]], False),
    (lambda x: x[x > 0], False),
    (lambda x: x.flatten(), False),
    (lambda x: x.copy(), False),
    (lambda x: np.expand_dims(x, 0), False),
    (lambda x: np.split(x, 3)[0], False),
    (lambda x: np.array(x), False),
]


@pytest.mark.parametrize(("part", "through"), VIEWS, ids=range(len(VIEWS)))
def test_views_write_through_and_copies_do_not(part, through):
    x = np.arange(12).reshape(3, 4) + 1
    part(x)[...] = -1
    assert bool((x == -1).any()) is through


def test_in_place_operators_keep_the_array():
    x = y = np.array([1.0, 2.0])
    x += 1
    x *= 3
    assert x is y and x.tolist() == [6.0, 9.0]
    i = np.array([1, 2], dtype="int32")
    i += 1.5
    assert i.tolist() == [2, 3]
    x[x > 7] = 0
    assert x.tolist() == [6.0, 0.0]


@pytest.mark.parametrize("operation", ["floordiv", "and", "or", "xor", "matmul", "mod", "pow"])
def test_every_operator_has_its_in_place_form(operation):
    raw, other = onp.array([[1, 7], [4, 2]]), onp.array([[3, 2], [1, 1]])
    x = np.array(raw)
    y = getattr(operator, f"i{operation}")(x, np.array(other))
    assert y is x and x.tolist() == getattr(operator, f"__{operation}__")(raw, other).tolist()
    mask = np.array([1, 2]) > 1
    mask &= ~mask
    assert mask.dtype == bool and not mask.any()
    with pytest.raises(ValueError, match="In-place matmul"):
        x @= np.array([1, 2])


@pytest.mark.parametrize("x", [X, INT, HALF, TRUTH, np.zeros((0, 3)), np.array(3)], ids=repr)
@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=range(3))
def test_copies_are_equal_and_apart(twin, x):
    y = twin(x)
    assert repr(y) == repr(x) and not np.shares_memory(x, y)
