"""What the book does with arrays without naming it: axes in lists, indices of any kind, texts, copies, other libraries."""

import copy
import pickle

import numpy as onp
import pytest

from d2lblocks import autograd, np, npx

M = np.arange(12).reshape(3, 4)
RAW = M.asnumpy()
A = np.arange(24).reshape(2, 3, 4)
HOME = npx.cpu(1)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "std", "var", "any", "all"])
def test_axes_in_a_list(name):
    want = getattr(A, name)(axis=(0, 1))
    assert getattr(A, name)(axis=[0, 1]).tolist() == want.tolist()
    assert getattr(np, name)(A, axis=[0, 1]).tolist() == want.tolist()
    assert getattr(A, name)(axis=[-1, 0], keepdims=True).shape == (1, 3, 1)


def test_axes_in_a_list_have_gradients():
    x = np.arange(6).reshape(1, 2, 3)
    x.attach_grad()
    for f in (np.sum, np.mean, np.max):
        with autograd.record():
            y = (f(x, axis=[0, 1]) * np.array([1, 2, 3])).sum() + f(x.squeeze(axis=[0]))
        y.backward()
        got = x.grad.copy()
        with autograd.record():
            y = (f(x, axis=(0, 1)) * np.array([1, 2, 3])).sum() + f(x)
        y.backward()
        assert (x.grad == got).all() and got.asnumpy().any()


ONE, TWO = np.array([0, 2, 1]), np.array([1, 3, 0])
ROWS, COLUMNS = onp.array([0, 2, 1]), onp.array([1, 3, 0])
KEYS = {
    "float array": (ONE, ROWS),
    "pair of float arrays": ((ONE, TWO), (ROWS, COLUMNS)),
    "list with array": (([0, 1, 2], TWO), ([0, 1, 2], COLUMNS)),
    "range with array": ((range(3), TWO), (range(3), COLUMNS)),
    "slice with array": ((slice(0, 2), TWO), (slice(0, 2), COLUMNS)),
    "array with slice": ((ONE, slice(None, None, 2)), (ROWS, slice(None, None, 2))),
    "column and row": ((ONE.reshape(3, 1), TWO[:2]), (ROWS.reshape(3, 1), COLUMNS[:2])),
    "int32 array": (ONE.astype("int32"), ROWS),
    "0-d float": (np.array(1), 1),
    "0-d integer": ((np.array(1, dtype="int64"), 2), (1, 2)),
    "mask": (M > 5, RAW > 5),
    "mask of rows": (np.array([1, 0, 1]) > 0, onp.array([True, False, True])),
    "None": ((slice(None), None), (slice(None), None)),
    "None and ...": ((None, ..., 1), (None, ..., 1)),
    "backwards": ((slice(None, None, -1), slice(None, None, -2)), (slice(None, None, -1), slice(None, None, -2))),
    "range": (range(2), [0, 1]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_indices_read_write_and_carry_gradients(kind):
    key, raw = KEYS[kind]
    raw = tuple(list(k) if isinstance(k, range) else k for k in raw) if isinstance(raw, tuple) else raw
    assert M[key].tolist() == RAW[raw].tolist() and M[key].shape == RAW[raw].shape
    written, want = M.copy(), RAW.copy()
    written[key], want[raw] = -1, -1
    assert written.tolist() == want.tolist()
    x, mark = M.copy(), onp.zeros_like(RAW)
    x.attach_grad()
    with autograd.record():
        y = x[key].sum()
    y.backward()
    onp.add.at(mark, raw, 1)
    assert x.grad.tolist() == mark.tolist()


def test_float_labels_and_tokens():
    assert npx.one_hot(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert npx.embedding(np.array([[2], [0]]), M, input_dim=3, output_dim=4).tolist() == [
        [RAW[2].tolist()],
        [RAW[0].tolist()],
    ]
    assert npx.pick(M, np.array([0, 1, 2])).tolist() == [0, 5, 10]


def test_texts():
    assert f"{M[0, 1]:.3f} {M.sum():.1f} {M[0]} {M[0, 1]}" == "1.000 66.0 [0. 1. 2. 3.] 1.0"
    assert "%.2f %d" % (M.mean(), M.sum()) == "5.50 66"  # noqa: UP031 - as the book writes it
    assert f"{np.array([2.5]).item():.1f}" == "2.5"
    with pytest.raises(TypeError):
        f"{M:.3f}"


def test_loops_go_through_the_first_axis():
    assert [row.tolist() for row in M] == RAW.tolist()
    assert [float(a + b) for a, b in zip(M[0], M[1], strict=True)] == [4, 6, 8, 10]
    a, *rest = M
    assert a.tolist() == RAW[0].tolist() and len(rest) == 2 and float(max(M[0])) == 3 and float(sum(M[0])) == 6
    assert all(isinstance(x, np.ndarray) and x.shape == () for x in M[0])


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_arrays_of_their_own(how):
    x = np.arange(3, ctx=HOME)
    y = how(x)
    y[0] = 9
    assert type(y) is np.ndarray and y.ctx == HOME and x.tolist() == [0, 1, 2] and y.tolist() == [9, 1, 2]
    make, parts = x.__reduce__()[:2]
    assert make(*parts).tolist() == [0, 1, 2]


def test_official_numpy_meets_our_arrays():
    root, total = onp.sqrt(M), onp.mean(M)
    assert isinstance(root, np.ndarray) and onp.allclose(root.asnumpy(), onp.sqrt(RAW)) and float(total) == 5.5
    assert onp.asarray(M).tolist() == RAW.tolist() and (onp.float64(2) * M).dtype == "float32"
    with pytest.raises(TypeError, match="np.array"):
        onp.ones(4) * M[0]
    assert np.array([M[0, 0], M[0, 1]]).tolist() == [0, 1]


def test_pandas_meets_our_arrays():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, None]})
    x = np.array(frame.fillna(0).to_numpy(dtype=float))
    assert x.dtype == "float64" and x.tolist() == [[1, 0.5], [2, 0]]
    assert np.array(frame["a"].values).dtype == "int64"
    assert np.array(frame.values.astype(float), dtype=np.float32).dtype == "float32"
    assert pd.Series(x[0].asnumpy()).tolist() == [1, 0.5] and pd.DataFrame({"y": x[:, 0].tolist()}).y.tolist() == [1, 2]


def test_leaves_are_updated_in_place_outside_record():
    w = np.ones(3)
    w.attach_grad()
    keep = w
    with autograd.record():
        y = (w * w).sum()
    y.backward(retain_graph=True)
    y.backward()
    w -= 0.25 * w.grad
    w[:] = w + 1
    w.grad[:] *= 0.5
    w *= 4
    w /= 2
    assert keep is w and w.tolist() == [3, 3, 3] and w.grad.tolist() == [1, 1, 1]
    with autograd.record():
        y = (w * w.detach()).sum()
    y.backward()
    assert w.grad.tolist() == [3, 3, 3]


def test_gradients_go_through_python_control_flow():
    a = np.random.normal()
    a.attach_grad()
    with autograd.record():
        b = a * 2
        while np.linalg.norm(b) < 1000:
            b = b * 2
        c = b if b.sum() > 0 else 100 * b
    c.backward()
    assert a.grad == c / a


X = np.ones((2, 3), ctx=HOME)
PLACED = {
    "uniform": lambda: np.random.uniform(size=(2,), ctx=HOME),
    "normal": lambda: np.random.normal(0, 1, (2,), ctx=HOME),
    "randn": lambda: np.random.randn(2, ctx=HOME),
    "rand": lambda: np.random.rand(2, ctx=HOME),
    "randint": lambda: np.random.randint(3, size=(2,), ctx=HOME),
    "choice": lambda: np.random.choice(3, (2,), ctx=HOME),
    "gamma": lambda: np.random.gamma(1.0, size=(2,), ctx=HOME),
    "normal of arrays": lambda: np.random.normal(X, X),
    "uniform of a keyword": lambda: np.random.uniform(0, high=X),
    "zeros_like": lambda: np.zeros_like(X),
    "ones_like": lambda: np.ones_like(X),
    "full_like": lambda: np.full_like(X, 2),
    "empty_like": lambda: np.empty_like(X),
    "topk": lambda: npx.topk(X),
    "topk mask": lambda: npx.topk(X, ret_typ="mask"),
    "sequence_mask": lambda: npx.sequence_mask(X, np.array([1, 2], ctx=HOME), True, axis=1),
    "dot": lambda: X.dot(X.T),
}


@pytest.mark.parametrize("name", PLACED)
def test_results_lie_where_they_were_asked_for(name):
    assert PLACED[name]().ctx == HOME


def test_draws_lie_on_the_context_in_force():
    with HOME:
        assert np.random.uniform(size=(2,)).ctx == np.random.randn(2).ctx == np.random.randint(2, size=1).ctx == HOME
    assert np.random.uniform(size=(2,)).ctx == npx.cpu()
    assert np.random.uniform(size=(2,), out=np.zeros(2, ctx=HOME)).ctx == HOME


def test_where_an_array_goes():
    assert X.as_in_ctx(HOME) is X and X.copyto(HOME) is not X and X.as_in_ctx(npx.cpu(2)).ctx == npx.cpu(2)
    assert X.as_in_ctx(npx.cpu()).tolist() == X.tolist() and str(HOME) == "cpu(1)" and npx.num_gpus() == 0
    with pytest.raises(RuntimeError, match="no GPU support"):
        np.ones(2, ctx=npx.gpu())
