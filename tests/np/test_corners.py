"""Corners of np, npx and autograd that programs reach: odd shapes, small dtypes, settings left open."""

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.errors import ArrayTypeError, MXNetError


def drawn(*shape, dtype="float64"):
    return np.array(onp.random.default_rng(7).uniform(-1, 1, shape), dtype=dtype)


def slope(function, x):
    x.attach_grad()
    with autograd.record():
        y = function(x)
    y.backward()
    return x.grad.asnumpy()


@pytest.mark.parametrize("k", [-2, 0, 1])
def test_triangles_of_a_vector_repeat_it_so_its_gradient_counts(k):
    assert (slope(lambda x: np.tril(x, k), drawn(3)) == onp.tri(3, k=k).sum(0)).all()
    assert (slope(lambda x: np.triu(x, k), drawn(3)) == (1 - onp.tri(3, k=k - 1)).sum(0)).all()


@pytest.mark.parametrize(
    "subscripts, a, b", [("ij,ij->i", (1, 4), (2, 4)), ("ij,ij", (3, 1), (3, 4)), ("i,ij->j", (1,), (2, 3))]
)
def test_einsum_gradient_where_one_label_has_sizes_1_and_n(subscripts, a, b):
    a, b = drawn(*a), drawn(*b)
    whole = onp.broadcast_shapes(a.shape, b.shape) if a.ndim == b.ndim else None
    if whole is None:
        expected = b.asnumpy().sum().reshape(1), onp.broadcast_to(a.asnumpy(), (2,))[:, None] * onp.ones((2, 3))
    else:
        of_a, of_b = onp.broadcast_to(b.asnumpy(), whole), onp.broadcast_to(a.asnumpy(), whole)
        shrunk = tuple(i for i, n in enumerate(a.shape) if n == 1)
        expected = of_a.sum(shrunk, keepdims=True), of_b
    onp.testing.assert_allclose(slope(lambda x: np.einsum(subscripts, x, b), a), expected[0])
    onp.testing.assert_allclose(slope(lambda x: np.einsum(subscripts, a.detach(), x), b), expected[1])


def test_halves_are_added_up_in_singles():
    x = np.full((4096,), 1.0009765625, dtype="float16")
    assert x.sum().dtype == "float16" and float(x.sum()) == 4100
    assert float(x.mean()) == 1.0009765625
    y = np.array([0.1] * 3000)
    assert y.sum(dtype="float16").dtype == "float16"
    assert float(y.sum(dtype="float16")) == float(onp.float16(onp.float32(0.1) * 3000))
    assert int(np.array([0.6, 0.6]).sum(dtype="int32")) == 1


@pytest.mark.parametrize("name", ["var", "std"])
def test_spread_in_a_coarser_dtype_is_rounded_only_at_the_end(name):
    x = drawn(3, 4)
    for dtype in ("float16", "float32"):
        spread = getattr(np, name)(x, axis=1, dtype=dtype)
        assert spread.dtype == dtype
        onp.testing.assert_array_equal(spread.asnumpy(), getattr(onp, name)(x.asnumpy(), axis=1).astype(dtype))
    alone = getattr(np, name)(x, axis=(), dtype="float16", ddof=1).asnumpy()
    assert onp.isnan(alone).all()  # of one number with ddof=1: 0 / 0
    assert getattr(np.array([1, 2, 4], dtype="int32"), name)().dtype == "float32"


def test_minus_two_copies_a_size_in_broadcast_to():
    assert np.broadcast_to(drawn(5), (3, 4, -2)).shape == (3, 4, 5)
    assert np.broadcast_to(drawn(3, 4), (1, 0, -2, 4)).shape == (1, 0, 3, 4)
    assert drawn(1, 0).broadcast_to((2, -2, -2)).shape == (2, 1, 0)
    assert np.broadcast_to(drawn(), 3).shape == (3,)


def test_settings_left_open():
    assert np.arange(0, 3, None).tolist() == [0, 1, 2]
    assert npx.slice(np.arange(5), [1], [4], None).tolist() == [1, 2, 3]
    assert npx.slice(np.arange(5), (1,), (None,), []).tolist() == [1, 2, 3, 4]


def test_one_place_in_a_list_takes_several_values():
    a, values = drawn(3, 2), drawn(2)
    for places in ([1], np.array([-4], dtype="int64")):
        plain = places if isinstance(places, list) else places.asnumpy()
        assert (np.insert(a, places, values).asnumpy() == onp.insert(a.asnumpy(), plain, values.asnumpy())).all()
    rows = drawn(2, 2)
    assert (np.insert(a, [1], rows, axis=0).asnumpy() == onp.insert(a.asnumpy(), [1], rows.asnumpy(), axis=0)).all()


@pytest.mark.parametrize("transpose_a, transpose_b", [(False, False), (True, True)])
def test_batch_dot_of_more_than_one_batch_axis(transpose_a, transpose_b):
    a, b = drawn(3, 2, 4, 2), drawn(3, 2, 2, 4)
    left, right = (
        onp.swapaxes(x.asnumpy(), -1, -2) if t else x.asnumpy() for x, t in ((a, transpose_a), (b, transpose_b))
    )
    onp.testing.assert_allclose(npx.batch_dot(a, b, transpose_a, transpose_b).asnumpy(), left @ right)
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 2\) and \(3, 2, 2, 4\)"):
        npx.batch_dot(a[:1], b)


def test_norm_takes_infinity_by_name():
    x = drawn(2, 3, 4)
    for ord, number in (("inf", onp.inf), ("-inf", -onp.inf)):
        for axis in (1, (0, 2)):
            onp.testing.assert_allclose(
                np.linalg.norm(x, ord, axis).asnumpy(), onp.linalg.norm(x.asnumpy(), number, axis)
            )


def test_nan_to_num_without_a_copy_writes_into_the_array():
    x = np.array([onp.nan, onp.inf, 1.0])
    z = np.nan_to_num(x, copy=False, posinf=5.0)
    assert z is x and x.tolist() == [0, 5, 1]
    x.attach_grad()
    with autograd.record(), pytest.raises(MXNetError, match="in-place"):
        np.nan_to_num(x, copy=False)


def test_out_of_another_dtype_is_a_type_error():
    with pytest.raises(TypeError, match="dtype float32, the result has shape \\(2,\\) and dtype bool"):
        np.isnan(np.ones(2), out=np.ones(2))
    with pytest.raises(ValueError) as refused:
        np.exp(np.ones(2), out=np.ones(3))
    assert not isinstance(refused.value, ArrayTypeError)


def test_a_row_of_length_0_has_no_probabilities():
    x, lengths = np.array([[1.0, 2, 3], [1, 2, 3]]), np.array([2, 0], dtype="int32")
    z = npx.softmax(x, lengths, use_length=True)
    onp.testing.assert_allclose(z.asnumpy(), [[0.26894143, 0.7310586, 0], [0, 0, 0]], rtol=1e-6)
    gradient = slope(lambda x: npx.softmax(x, lengths, use_length=True)[:, 1], x)
    onp.testing.assert_allclose(gradient, [[-0.19661193, 0.19661193, 0], [0, 0, 0]], rtol=1e-5)


def test_batch_norm_tells_the_mean_and_the_scale_it_used():
    x, one = np.array([[1.0, 2], [3, 5]]), np.ones(2)
    with autograd.train_mode():
        _, mean, scale = npx.batch_norm(x, one, one, np.zeros(2), np.ones(2), output_mean_var=True)
    assert mean.tolist() == [2, 3.5]
    onp.testing.assert_allclose(scale.asnumpy(), [0.9995004, 0.66651857], rtol=1e-6)


@pytest.mark.parametrize("size", [None, 1, (2, 3)])
def test_multivariate_normal_draws_for_each_mean_and_covariance(size):
    mean, cov = np.zeros((3, 2)), np.array([[1.0, 0], [0, 1]])
    batch = () if size is None else (size,) if isinstance(size, int) else size
    for dtype in ("float16", "float32"):
        drawn = np.random.multivariate_normal(mean.astype(dtype), cov.astype(dtype), size)
        assert drawn.shape == (*batch, 3, 2)
        assert len(set(drawn.asnumpy().reshape(-1).tolist())) == drawn.size
    assert np.random.multivariate_normal(mean[0], np.array(onp.broadcast_to(cov.asnumpy(), (4, 2, 2)))).shape == (4, 2)


@pytest.mark.parametrize("shape, scale", [(1, 0), (np.array([1.0]), np.array([0.0])), (0, 1)])
def test_gamma_needs_positive_parameters(shape, scale):
    with pytest.raises(ValueError, match="gamma: expect .* > 0"):
        np.random.gamma(shape, scale)


FLAT = {
    "radians": np.radians,
    "relu": npx.relu,
    "clip": lambda x: np.clip(x, 0, 1),
    "double": lambda x: 2 * x,
    "slice": lambda x: x[::-1],
}


@pytest.mark.parametrize("name", FLAT)
def test_the_gradient_of_a_constant_gradient_is_0(name):
    x = np.array([0.3, -0.5, 1.2])
    x.attach_grad()
    with autograd.record():
        first = autograd.grad(FLAT[name](x), x, create_graph=True)[0]
        second = autograd.grad(first, x, create_graph=True)[0]
        third = autograd.grad(second, x, create_graph=True)[0]
    assert second.tolist() == third.tolist() == [0, 0, 0]
    x.grad[:] = 7
    first.backward()
    assert x.grad.tolist() == [0, 0, 0]
    with autograd.record():
        mixed = (autograd.grad(FLAT[name](x), x, create_graph=True)[0] * x).sum()
    mixed.backward()
    onp.testing.assert_allclose(x.grad.asnumpy(), first.asnumpy())


def test_numbers_of_numpy_count_as_numbers_of_python():
    """As in MXNet 1.9.1: a batch size that came out of NumPy, a mean that fills an array."""
    for value in (onp.float64(3), onp.int64(3), onp.mean([3, 3]), onp.array(3.0)):
        assert np.full((2,), value).dtype == onp.float32
    assert np.full((2,), onp.bool_(True)).dtype == bool and np.full((2,), np.array(3, dtype="int32")).dtype == onp.int32
    x, two = np.arange(8).reshape(2, 4), onp.int64(2)
    assert (
        [part.shape for part in np.split(x, two, axis=1)] == [part.shape for part in np.hsplit(x, two)] == [(2, 2)] * 2
    )
    assert len(np.array_split(x, two)) == 2 and np.tile(x, two).shape == (2, 8)
    assert np.tensordot(x, x.T, onp.int64(1)).shape == (2, 2) and np.linalg.matrix_power(np.eye(2) * 2, two)[0, 0] == 4
    assert np.unravel_index(onp.int64(3), (2, 2)) == (1, 1)
    assert gluon.nn.Dropout(onp.float32(0.5))._rate == 0.5
    assert len(gluon.data.DataLoader(gluon.data.ArrayDataset(x), two)) == 1


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("axis", [0, -1])
def test_reducing_one_number_over_its_axis(name, axis):
    """NumPy takes axis 0 and -1 of a single number; so the way back must, too."""
    x = np.array(2.0)
    x.attach_grad()
    with autograd.record():
        y = getattr(np, name)(x, axis=axis)
    y.backward()
    assert float(y) == 2 and float(x.grad) == 1


def test_sorting_all_has_a_gradient():
    x = np.array([[3.0, 1.0], [2.0, 5.0]])
    x.attach_grad()
    with autograd.record():
        y = np.sort(x, axis=None)
    y.backward(np.array([1.0, 2.0, 3.0, 4.0]))
    assert x.grad.tolist() == [[3, 1], [2, 4]]


def test_picking_from_a_vector():
    x = np.array([1.0, 2.0, 3.0])
    assert npx.pick(x, np.array([1])).tolist() == [2] and npx.pick(x, np.array(1)).tolist() == 2
    assert npx.pick(x, np.array([1]), keepdims=True).shape == (1,)


@pytest.mark.parametrize("draw", [np.random.uniform, np.random.normal])
def test_a_size_that_the_parameters_exceed(draw):
    for parameter, size in (([[2.0, 3.0]], (2,)), ([[1.0]] * 3, (2,)), ([1.0, 1.0], (1,))):
        with pytest.raises(ValueError, match="does not fit parameters of shapes"):
            draw(np.array(parameter), 3.0, size=size)
