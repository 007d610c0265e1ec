"""Where arrays begin in memory, and that a view of one holds the array itself."""

import numpy as onp
import pytest

from d2lblocks import gluon, init
from d2lblocks.gluon import nn
from d2lblocks.kernels.buffers import LARGE, LINE, SMALL, Results, empty, placed, whole, zeros_like


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (300,), (40, 50), (3, 40, 50)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
def test_an_array_begins_where_a_line_does(shape, dtype, order):
    for a in (empty(shape, dtype, order), empty(shape, dtype, order, clear=True)):
        assert a.shape == shape and a.dtype == dtype and type(a) is onp.ndarray
        assert a.flags.f_contiguous if order == "F" else a.flags.c_contiguous
        assert a.nbytes < SMALL or a.ctypes.data % LINE == 0
        assert a.flags.writeable and a.flags.aligned
    assert not a.any()


def test_a_view_holds_the_array_itself():
    a = empty((40, 50), "float32")
    assert whole(a)
    for view in (a[3:], a.T, a.reshape(-1), a.view("int32")):
        assert view.base is a and not whole(view)
        assert view[1:].base is view or view[1:].base is a


def test_a_result_comes_again_only_when_no_view_of_it_is_left():
    results = Results((40, 50), "float32")
    view = results.next()[3:].reshape(-1)[7:]
    view[:] = 5
    for _ in range(4):
        results.next()[...] = 1
    assert (view == 5).all()


def test_zeros_lie_as_the_numbers_do():
    for a in (onp.ones((40, 50)), onp.ones((40, 50)).T, onp.ones((40, 50))[::2, ::2], onp.ones(LARGE // 8 + 1)):
        zeros = zeros_like(a)
        assert zeros.shape == a.shape and not zeros.any() and zeros.dtype == a.dtype
        if a.flags.forc:
            assert zeros.strides == a.strides


def test_what_lies_well_is_not_copied():
    a = empty((40, 50), "float32", "F")
    a[...] = 3
    assert placed(a, "F") is a
    for other in (placed(a, "C"), placed(a[1:], "F"), placed(a.copy()[:, 1:], "F")):
        assert (other == 3).all() and other.ctypes.data % LINE == 0


def test_weights_and_gradients_begin_where_lines_do(tmp_path):
    net = nn.Dense(64, in_units=48)
    net.initialize(init.Normal(1))
    net.save_parameters(str(tmp_path / "a.params"))
    other = nn.Dense(64, in_units=48)
    other.load_parameters(str(tmp_path / "a.params"))
    deferred = gluon.Parameter("w", shape=(64, 48))
    deferred.initialize()
    deferred.set_data(net.weight.data())
    net.cast("float64")
    for p in (net.weight, other.weight, deferred):
        x = p.data()
        assert x._data.ctypes.data % LINE == 0 and x._node.buffer.ctypes.data % LINE == 0
