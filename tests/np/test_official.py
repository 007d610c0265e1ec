"""Official NumPy and its neighbours on our arrays: functions dispatch to ours and keep the tape, the rest runs on copies."""

import numpy as onp
import pytest

from d2lblocks import autograd, np

X = np.array([[1.0, -2.0, 3.0], [4.0, 0.5, -6.0]])
Q = np.array([[2.0, 0.5], [-0.25, 1.5]])

OURS = {  # official functions that we have ourselves: the result is an array of ours, and the tape goes through
    "sum": onp.sum, "exp": onp.exp, "mean": lambda x: onp.mean(x, axis=0), "std": onp.std, "max": onp.max,
    "concatenate": lambda x: onp.concatenate([x, x]), "stack": lambda x: onp.stack([x, x]),
    "split": lambda x: onp.split(x, 3, axis=1)[0],
    "transpose": onp.transpose, "reshape": lambda x: onp.reshape(x, (3, 2)),
    "where": lambda x: onp.where(x > 0, x, 2 * x),
    "add": lambda x: onp.add(x, 1), "multiply": lambda x: onp.multiply(2.0, x),
    "float64 *": lambda x: onp.float64(2) * x,
    "mod": lambda x: onp.mod(x, 2), "remainder": lambda x: onp.remainder(x, 2),
    "true_divide": lambda x: onp.true_divide(x, 2),
    "fabs": onp.fabs, "deg2rad": onp.deg2rad, "maximum": lambda x: onp.maximum(x, 0),
    "clip": lambda x: onp.clip(x, -1, 1),
    "dot": lambda x: onp.dot(x, x.T), "matmul": lambda x: onp.matmul(x, x.T),
    "einsum": lambda x: onp.einsum("ij->j", x),
    "norm": onp.linalg.norm, "det": lambda x: onp.linalg.det(onp.matmul(x, x.T)), "cumsum": onp.cumsum,
    "sort": onp.sort,
    "tile": lambda x: onp.tile(x, 2), "expand_dims": lambda x: onp.expand_dims(x, 0),
    "vstack": lambda x: onp.vstack([x, x]),
    "percentile": lambda x: onp.percentile(x, 30), "insert": lambda x: onp.insert(x, 1, 5.0),
    "pad": lambda x: onp.pad(x, ((1, 1), (0, 0))),
}  # fmt: skip


@pytest.mark.parametrize("function", OURS.values(), ids=OURS)
def test_official_function_is_ours(function):
    x = X.copy()
    x.attach_grad()
    with autograd.record():
        y = function(x)
    assert isinstance(y, np.ndarray)
    onp.testing.assert_allclose(y.asnumpy(), function(X.asnumpy()), rtol=1e-5)
    y.backward()
    assert onp.abs(x.grad.asnumpy()).sum() > 0


def same(ours, right):
    """Compare a result of ours with NumPy's, whatever it is made of."""
    if isinstance(right, tuple | list):
        assert len(ours) == len(right)
        for a, b in zip(ours, right, strict=True):
            same(a, b)
    elif isinstance(right, onp.ndarray):
        assert isinstance(ours, np.ndarray) and ours.dtype == right.dtype
        onp.testing.assert_array_equal(ours.asnumpy(), right)
    else:
        assert ours == right and type(ours) in (bool, int, float)


COPIES = {  # functions that only official NumPy has: np.name(...) here and onp.name(...) give the same
    "allclose": (X, X), "array_equal": (X, X), "isclose": (X, X), "median": (X,), "count_nonzero": (X,),
    "argwhere": (X,), "isin": (X, Q),
    "nansum": (X,), "nanmax": (X,), "ptp": (X,), "cov": (X,), "corrcoef": (X,),
    "digitize": (X[0], np.array([0.0, 2.0])),
    "searchsorted": (np.array([1.0, 2.0]), X[0]), "interp": (X[0], np.array([0.0, 1.0]), np.array([5.0, 6.0])),
    "flatnonzero": (X,),
    "in1d": (X[0], X[1]), "intersect1d": (X, X), "union1d": (X, Q), "cross": (X[0], X[1]), "kron": (Q, Q),
    "heaviside": (X, 0.5),
    "modf": (X,), "frexp": (X,), "signbit": (X,), "float_power": (X, 2.0), "trapz": (X,), "vander": (X[0],),
    "polyfit": (X[0], X[1], 1),
    "take_along_axis": (X, np.array([[0], [1]], dtype=int), 1), "lexsort": (X,), "partition": (X, 1), "alltrue": (X,),
    "msort": (X,),
    "nanmedian": (X,), "triu_indices_from": (Q,), "exp2": (X,), "logaddexp": (X, X), "compress": ([True, False], X),
    "select": ([X > 0], [X]),
}  # fmt: skip
RENAMED = {"in1d": onp.isin, "trapz": onp.trapezoid, "alltrue": onp.all, "msort": lambda a: onp.sort(a, axis=0)}


@pytest.mark.parametrize("name", COPIES)
def test_functions_of_official_numpy(name):
    def raw(value):
        return [raw(v) for v in value] if isinstance(value, list) else getattr(value, "asnumpy", lambda: value)()

    right = RENAMED.get(name, getattr(onp, name, None))(*raw(list(COPIES[name])))
    ours = getattr(np, name)(*COPIES[name])
    same(ours if not isinstance(ours, np.ndarray) or isinstance(right, onp.ndarray) else ours.item(), right)


def test_linalg_of_official_numpy():
    assert np.linalg.matrix_rank(Q) == 2
    assert np.linalg.cond(Q) == pytest.approx(float(onp.linalg.cond(Q.asnumpy())))
    onp.testing.assert_allclose(np.dot(*np.linalg.qr(Q)).asnumpy(), Q.asnumpy(), rtol=1e-5)
    onp.testing.assert_allclose(
        np.linalg.lstsq(Q, X)[0].asnumpy(), onp.linalg.solve(Q.asnumpy(), X.asnumpy()), rtol=1e-5
    )


@pytest.mark.parametrize("function", [np.median, onp.median, np.exp2, onp.exp2, np.nansum, np.linalg.cond, onp.kron])
def test_gradient_is_not_lost_in_silence(function):
    x = Q.copy()
    x.attach_grad()
    with autograd.record():
        with pytest.raises(RuntimeError, match=f"{function.__name__} .*no derivative.*detach"):
            function(x, *[x] * (function is onp.kron))
        assert np.allclose(x, x) and np.count_nonzero(x) == 4  # counts and truths have none to lose
        assert isinstance(np.median(x.detach()), float) or function is not np.median


def test_official_arrays_beside_ours():
    raw = onp.ones((2, 3))
    for mix in (lambda: X + raw, lambda: raw + X, lambda: onp.add(raw, X), lambda: np.dot(X, raw)):
        with pytest.raises(TypeError, match=r"numpy.ndarray.*np.array\(...\)"):
            mix()
    assert isinstance(onp.vstack([raw, X]), np.ndarray)
    with pytest.raises(TypeError):
        raw += X


def test_out_reaches_our_array():
    y = np.zeros_like(X)
    assert onp.exp(X, out=y) is y
    onp.testing.assert_array_equal(y.asnumpy(), np.exp(X).asnumpy())


def test_conversion_is_a_copy():
    raw = onp.asarray(X)
    raw[:] = 0
    assert float(X[0, 0]) == 1 and onp.array(X, dtype="float64").dtype == "float64"


def test_matplotlib_takes_arrays():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    x = np.arange(0, 3, 0.1)
    figure, axes = pyplot.subplots()
    (line,) = axes.plot(x, np.sin(x))
    axes.scatter(x, x * 2, s=np.ones_like(x), c=x)
    axes.imshow(X)
    axes.hist(x, bins=np.array([0.0, 1.0, 3.0]))
    axes.fill_between(x, x, x + 1)
    axes.bar(np.arange(3), X[0])
    axes.errorbar(x[:3], x[:3], yerr=x[:3])
    axes.contour(np.sort(X[0]), np.arange(2), X)
    axes.set_xlim(x[0], x[-1])
    onp.testing.assert_array_equal(line.get_ydata(), onp.sin(x.asnumpy()))
    figure.canvas.draw()
    pyplot.close(figure)


def test_pandas_takes_arrays():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    assert frame["a"].tolist() == [1.0, 4.0] and frame.to_numpy().dtype == onp.float32
    assert pandas.Series(X[0]).mean() == pytest.approx(2 / 3)
    frame["d"] = X[:, 0]
    assert (frame["d"] == frame["a"]).all()
