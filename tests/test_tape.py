"""What the walk back promises: buffers written in place, nothing half done, no number read that has changed since."""

import gc
import weakref
from itertools import product

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.gluon import nn
from d2lblocks.npx.linear import dense
from d2lblocks.op import Op

SHAPES = (2, 3), (4, 3), (4,)  # of x, weight and bias


def leaves(*shapes):
    rng = onp.random.default_rng(0)
    made = [np.array(rng.normal(size=shape).astype("float32")) for shape in shapes]
    for x in made:
        x.attach_grad()
    return made


def test_a_kept_gradient_sees_the_next_backward():
    x, w, b = leaves((2, 3), (4, 3), (4,))
    kept = w.grad
    with autograd.record():
        y = npx.fully_connected(x, w, b)
    y.backward()
    onp.testing.assert_allclose(kept.asnumpy(), onp.ones((2, 4)).T @ x.asnumpy(), rtol=1e-6)


def test_one_weight_used_three_times_adds_up():
    x, w = leaves((2, 3), (3, 3))
    with autograd.record():
        y = npx.fully_connected(npx.fully_connected(npx.fully_connected(x, w), w), w)
    y.backward()
    X, W, one = x.asnumpy(), w.asnumpy(), onp.ones((2, 3))
    right = one.T @ (X @ W.T @ W.T) + (one @ W).T @ (X @ W.T) + (one @ W @ W).T @ X
    onp.testing.assert_allclose(w.grad.asnumpy(), right, rtol=1e-4)


def test_a_weight_that_is_also_the_input():
    (w,) = leaves((3, 3))
    with autograd.record():
        y = npx.fully_connected(w, w)
    y.backward()
    W, one = w.asnumpy(), onp.ones((3, 3))
    onp.testing.assert_allclose(w.grad.asnumpy(), one @ W + one.T @ W, rtol=1e-5)


def test_a_gradient_that_takes_part_in_the_next_loss():
    """The rule must not write into the buffer that another rule still reads."""
    x, w = leaves((2, 3), (4, 3))
    with autograd.record():
        y = npx.fully_connected(x, w)
    y.backward()
    before = w.grad.asnumpy()
    with autograd.record():
        z = (npx.fully_connected(x, w).sum() + (w.grad * w).sum()) * 1.0
    z.backward()
    onp.testing.assert_allclose(w.grad.asnumpy(), onp.ones((2, 4)).T @ x.asnumpy() + before, rtol=1e-5)


def test_an_error_leaves_every_gradient_as_it_was():
    x, w = leaves((2, 3), (4, 3))
    u = np.ones((2, 4))
    with autograd.record():
        y = npx.fully_connected(x, w) * u
    w.grad[:] = 7
    u[:] = 2
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    assert (w.grad == 7).all()
    assert not autograd.is_training()


def test_out_joins_the_graph():
    (x,) = leaves((3,))
    z = np.zeros(3)
    with autograd.record():
        np.exp(x, out=z)
        y = z * 2
    y.backward()
    onp.testing.assert_allclose(x.grad.asnumpy(), 2 * onp.exp(x.asnumpy()), rtol=1e-6)


def test_views_and_arrays_share_their_clock():
    (x,) = leaves((4,))
    u = np.ones((2, 4))
    with autograd.record():
        y = x * u[1]
    u[1] = 5
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_no_loop_of_references_keeps_the_graph():
    net = nn.Dense(3)
    net.initialize()
    gc.disable()
    try:
        with autograd.record():
            y = net(np.ones((2, 4)))
        raw = weakref.ref(y._data)
        del y
        assert raw() is None
    finally:
        gc.enable()


def test_rows_of_a_weight_are_windows():
    """A layer's weight lies column by column in memory; x[i] is a window all the same, x[:, j] a copy."""
    net = nn.Dense(3, in_units=4)
    net.initialize()
    w = net.weight.data()
    w[1][2] = 42
    w[0:2][0] = 7
    w[:, 3][:] = 5
    assert float(w[1, 2]) == 42 and (w[0] == 7).all() and not (w[:, 3] == 5).any()
    assert net.weight.data().asnumpy().flags.c_contiguous


def test_grad_leaves_what_backward_wrote():
    net = nn.Dense(2, in_units=3)
    net.initialize()
    x = np.ones((4, 3))
    with autograd.record():
        first = net(x).sum()
    first.backward()
    with autograd.record():
        second = (net(x) * 5).sum()
    autograd.grad(second, [net.weight.data()])
    assert (net.weight.grad() == 4).all()


def _tracked(x, how):
    """Return the numbers as a constant, a leaf, a computed array or a second output."""
    if how == "leaf":
        x.attach_grad()
    elif how == "computed":
        x.attach_grad()
        return x * 1
    elif how == "second":
        x.attach_grad()
        return np.split(np.concatenate([x, x]), 2)[1]
    return x


@pytest.mark.parametrize("recording", [False, True])
@pytest.mark.parametrize("settings", [{}, {"act": "relu"}, {"flatten": False, "act": "tanh"}])
def test_a_layers_own_way_is_that_of_every_op(recording, settings):
    for hows in product(["constant", "leaf", "computed", "second"], repeat=3):
        with autograd.record() if recording else autograd.pause():
            arrays = [_tracked(np.random.normal(size=shape), how) for shape, how in zip(SHAPES, hows, strict=True)]
            one, other = dense.apply(tuple(arrays), settings), Op.apply(dense, tuple(arrays), settings)
        assert (one._data == other._data).all() and one._ctx is other._ctx and one._out == other._out == 0
        if one._node is None:
            assert other._node is None
            continue
        for part in ("op", "settings", "count"):
            assert getattr(one._node, part) is getattr(other._node, part)
        assert one._node.parents == other._node.parents
        assert [id(cell) for cell in one._node.watched] == [id(cell) for cell in other._node.watched]
        assert all(a is b for a, b in zip(one._node.args, other._node.args, strict=True))


def test_a_layers_own_way_refuses_in_the_same_words():
    x, w, b = (np.ones(shape) for shape in SHAPES)
    for args in ((x[:, 1:], w, b), (x, w, b[1:]), (x.astype("float64"), w, b), (x.sum(), w, b)):
        texts = []
        for call in (dense.apply, lambda *given: Op.apply(dense, *given)):
            with pytest.raises(ValueError) as caught:  # noqa: PT011
                call(args, {})
            texts.append((type(caught.value), str(caught.value)))
        assert texts[0] == texts[1]


@pytest.mark.parametrize("write", ["another array of it", "zero_grad", "backward", "a copy off the tape"])
def test_a_gradient_used_as_a_constant_is_refused_when_it_is_written(write):
    p = gluon.Parameter("p", shape=(2,), init="ones")
    p.initialize()
    w = p.data()
    with autograd.record():
        y = (w * w).sum()
    y.backward()
    seen = p.grad()
    constant = seen.detach() if write == "a copy off the tape" else seen
    with autograd.record():
        y, other = (w * constant).sum(), (3 * w).sum()
    if write == "zero_grad":
        p.zero_grad()
    elif write == "backward":
        other.backward()
    else:
        p.grad()[:] = 7
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_gradient_used_as_a_constant_is_read_before_backward_writes_there():
    w, v = leaves((3,), (3,))
    with autograd.record():
        y = (w * 2).sum()
    y.backward()
    with autograd.record():
        y = (w * w.grad * v).sum()
    y.backward()
    onp.testing.assert_allclose(w.grad.asnumpy(), 2 * v.asnumpy())
    onp.testing.assert_allclose(v.grad.asnumpy(), 2 * w.asnumpy())


@pytest.mark.parametrize("size", [3, 256])  # a big gradient waits as a product
def test_backward_inside_a_backward_leaves_what_the_outer_one_has_found(size):
    class Inner(autograd.Function):
        def forward(self, x):
            return x * 2

        def backward(self, g):
            with autograd.record():
                y = npx.fully_connected(x * 5, w, None, no_bias=True)
            y.backward()
            return g * 2

    x, w = leaves((2, size), (size, size))
    with autograd.record():
        y = npx.fully_connected(Inner()(x), w, None, no_bias=True)
    y.backward()
    onp.testing.assert_allclose(w.grad.asnumpy(), onp.ones((2, size)).T @ (2 * x.asnumpy()), rtol=1e-5)


def test_a_piece_of_an_array_as_gradient_is_written_after_the_last_rule_has_read_it():
    (x, v), w = leaves((1, 2), (2, 2, 2)), np.ones((2, 2))
    whole = np.ones((2, 2, 2))
    autograd.mark_variables([w], [whole[0]])
    with autograd.record():
        y = (v * whole).sum() * npx.fully_connected(x, w, None, no_bias=True).sum()
    y.backward()
    onp.testing.assert_allclose(v.grad.asnumpy(), onp.full((2, 2, 2), 2 * x.asnumpy().sum()), rtol=1e-6)
    onp.testing.assert_allclose(whole[0].asnumpy(), v.asnumpy().sum() * onp.ones((2, 1)) @ x.asnumpy(), rtol=1e-6)
