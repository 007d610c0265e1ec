"""Every kind of index, as get, as set and under the gradient, against NumPy."""

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from d2lblocks import autograd, np

SHAPES = st.sampled_from([(4,), (3, 4), (2, 3, 4), (1, 3), (2, 0, 3)])


def ours(key):
    """Return the key with NumPy's index arrays made ours: positions as float32, as in the book, or int64."""
    if isinstance(key, tuple):
        return tuple(ours(part) for part in key)
    if isinstance(key, onp.ndarray):
        return np.array(key) if key.dtype == bool or key.sum() % 2 else np.array(key.astype("float32"))
    return key


@st.composite
def keys(draw):
    """Draw (raw array, NumPy key): slices, numbers, None, ..., positions in arrays, lists and ranges, and masks."""
    shape = draw(SHAPES)
    x = onp.arange(int(onp.prod(shape)), dtype="float32").reshape(shape) + 1
    kind = draw(st.sampled_from(["basic", "positions", "mask", "mixed", "one"]))
    if kind == "basic":
        return x, draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "mask":
        axes = draw(st.integers(1, len(shape)))
        return x, draw(hnp.arrays(bool, shape[:axes]))
    if 0 in shape:
        return x, draw(hnp.basic_indices(shape))
    if kind == "positions":
        return x, draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)))
    if kind == "one":
        places = draw(st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=4))
        return x, draw(st.sampled_from([places, range(shape[0]), range(shape[0] - 1, -1, -1), onp.array(places[0])]))
    parts = [draw(st.sampled_from([
        slice(None), slice(None, None, -1), slice(0, 1), n - 1, -1, [0, n - 1], onp.array([n - 1, 0]),
    ])) for n in shape]  # fmt: skip
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), draw(st.sampled_from([None, ...])))
    return x, tuple(parts)


@settings(max_examples=300, deadline=None)
@given(keys())
def test_get_equals_numpy(case):
    x, key = case
    found = np.array(x)[ours(key)]
    expected = x[key]
    assert found.shape == expected.shape and found.dtype == expected.dtype
    onp.testing.assert_array_equal(found.asnumpy(), expected)


@settings(max_examples=300, deadline=None)
@given(keys(), st.sampled_from(["number", "array", "one entry"]))
def test_set_equals_numpy(case, kind):
    x, key = case
    y = np.array(x)
    value = -onp.arange(x[key].size, dtype="float32").reshape(x[key].shape) - 1
    if len(set(x[key].reshape(-1).tolist())) < value.size:
        kind = "number"  # of two values for one place NumPy does not say which one wins
    if kind == "number":
        y[ours(key)] = x[key] = -5
    elif kind == "array":
        y[ours(key)], x[key] = np.array(value), value
    else:
        y[ours(key)], x[key] = np.array([-7.0]), -7
    onp.testing.assert_array_equal(y.asnumpy(), x)


@settings(max_examples=200, deadline=None)
@given(keys())
def test_gradient_counts_how_often_an_entry_was_taken(case):
    x, key = case
    y = np.array(x)
    y.attach_grad()
    with autograd.record():
        z = y[ours(key)]
    weights = onp.arange(z.size, dtype="float32").reshape(z.shape) + 1
    z.backward(np.array(weights))
    expected = onp.zeros_like(x)
    onp.add.at(expected, key, weights)
    onp.testing.assert_array_equal(y.grad.asnumpy(), expected)


X = np.arange(12).reshape(3, 4)
KINDS = {  # the odd ones of the book: key -> the same in NumPy
    "None": (None, None),
    "list with array": (([0, 1], np.array([1, 2])), ([0, 1], [1, 2])),
    "list of arrays": ([np.array(0), np.array(2)], [0, 2]),
    "range with list": ((range(2), [3, 0]), ([0, 1], [3, 0])),
    "range with slice": ((slice(None), range(2)), (slice(None), [0, 1])),
    "0-d array": (np.array(2), 2),
    "0-d int array": (np.array(2, dtype="int32"), 2),
    "0-d beside a slice": ((np.array(1), slice(1, 3)), (1, slice(1, 3))),
    "0-d as bounds": (slice(np.array(0), np.array(2)), slice(0, 2)),
    "fractions are cut": (np.array([0.9, 2.1]), [0, 2]),
    "mask of rows": (X[:, 0] > 1, onp.array([False, True, True])),
    "mask of columns": ((slice(None), X[0] > 1), (slice(None), onp.array([False, False, True, True]))),
    "mask of entries": (X > 5, onp.arange(12).reshape(3, 4) > 5),
    "list of truths": ([True, False, True], [True, False, True]),
    "official array": (onp.array([0, 2]), [0, 2]),
    "official number": (onp.int64(1), 1),
    "negative steps": ((slice(None, None, -1), slice(None, None, -2)), (slice(None, None, -1), slice(None, None, -2))),
    "empty list": ([], []),
    "array of two axes": (np.array([[0, 1], [2, 0]]), [[0, 1], [2, 0]]),
}  # fmt: skip


@pytest.mark.parametrize(("key", "same"), KINDS.values(), ids=KINDS)
def test_kinds_of_the_book(key, same):
    raw = X.asnumpy()
    same = onp.array(same, dtype=int) if isinstance(same, list) and not any(type(p) is bool for p in same) else same
    assert X[key].tolist() == raw[same].tolist()
    y, z = X.copy(), raw.copy()
    y[key], z[same] = -1, -1
    assert y.tolist() == z.tolist()
    x = X.copy()
    x.attach_grad()
    with autograd.record():
        (x[key] * 2).backward()
    expected = onp.zeros_like(raw)
    onp.add.at(expected, same, 2)
    assert x.grad.tolist() == expected.tolist()


def test_a_wrong_value_leaves_the_array_as_it_was():
    x = X.copy()
    with pytest.raises(ValueError, match=r"\(5,\)"):
        x[:, 1:3] = np.ones(5)
    assert x.tolist() == X.tolist()


def test_recorded_values_are_not_lost_in_silence():
    x = np.array([1.0, 2.0])
    x.attach_grad()
    free = np.zeros(2)
    with autograd.record(), pytest.raises(RuntimeError, match="in-place"):
        free[0] = (x * 2)[0]
