"""Autograd as the original's surface has it: buffers, flags, heads, errors. One test per statement."""

import threading

import numpy as onp
import pytest

from d2lblocks import autograd, np
from d2lblocks.errors import MXNetError


def leaf(values=(1.0, 2.0, 3.0), req="write", dtype="float32"):
    x = np.array(onp.array(values, dtype))
    x.attach_grad(req)
    return x


def recorded(function, *arrays):
    with autograd.record():
        return function(*arrays)


# ---------------------------------------------------------------------------------------- the buffer


def test_grad_is_none_then_zeros():
    x = np.array([1.0, 2.0])
    assert x.grad is None
    for req in ("write", "add", "null"):
        x.attach_grad(req)
        assert repr(x.grad) == "array([0., 0.])"


def test_bad_grad_req_lists_the_good_ones():
    with pytest.raises(ValueError, match="'write', 'add', or 'null'.*'foo'"):
        np.array([1.0]).attach_grad("foo")


def test_attach_grad_on_an_intermediate_cuts_the_graph():
    x = leaf()
    with autograd.record():
        y = x * 2
        y.attach_grad()
        z = y * y
    z.backward()
    assert x.grad.tolist() == [0, 0, 0] and y.grad.tolist() == [4, 8, 12]


def test_buffer_is_written_in_place_and_wrapped_anew():
    x = leaf()
    kept = x.grad
    recorded(lambda: x * x).backward()
    assert kept.tolist() == [2, 4, 6] and x.grad is not x.grad


@pytest.mark.parametrize(("req", "expected"), [("write", [2, 4, 6]), ("add", [6, 12, 18]), ("null", [0, 0, 0])])
def test_write_overwrites_and_add_accumulates(req, expected):
    x = leaf(req=req)
    for _ in range(3):
        recorded(lambda: x * x).backward()
    assert x.grad.tolist() == expected
    x.grad[:] = 0
    recorded(lambda: x * x).backward()
    assert x.grad.tolist() == ([0, 0, 0] if req == "null" else [2, 4, 6])


def test_second_attach_grad_makes_a_new_buffer():
    x = leaf()
    old = x.grad
    recorded(lambda: x * x).backward()
    x.attach_grad()
    assert x.grad.tolist() == [0, 0, 0] and old.tolist() == [2, 4, 6]


def test_mark_variables():
    x, g = np.array([1.0, 2.0]), np.zeros(2)
    autograd.mark_variables([x], [g], "add")
    for _ in range(2):
        recorded(lambda: x * x).backward()
    assert g.tolist() == [4, 8] == x.grad.tolist()
    y, h = np.array([1.0]), np.zeros(1)
    autograd.mark_variables(y, h)
    recorded(lambda: y * 3).backward()
    assert h.tolist() == [3]


# ---------------------------------------------------------------------------------------- heads


def test_non_scalar_head_counts_as_its_sum_and_head_gradients_weigh():
    x = leaf()
    recorded(lambda: x * x).backward(np.array([1.0, 0.0, -1.0]))
    assert x.grad.tolist() == [2, 0, -6]
    with autograd.record():
        y = x * x
        z = y * 2
    autograd.backward([y, z], [None, np.array([1.0, 0.0, 1.0])])
    assert x.grad.tolist() == [6, 4, 18]


def test_integers_have_no_gradient():
    with pytest.raises(TypeError, match="int32"):
        np.array([1], dtype="int32").attach_grad()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 1)])
def test_gradients_have_dtype_and_shape_of_their_array(dtype, shape):
    x = np.ones(shape, dtype=dtype)
    x.attach_grad()
    recorded(lambda: (x.astype("float64") * np.ones((4, *shape))).sum()).backward()
    assert x.grad.dtype == dtype and x.grad.shape == shape and (x.grad.asnumpy() == 4).all()


NO_PATH = {
    "twice": lambda x: [y := recorded(lambda: x * x), y.backward(), y.backward()],
    "outside record": lambda x: (x * x).backward(),
    "nothing attached": lambda x: recorded(lambda: np.ones(2) * 2).backward(),
    "asnumpy": lambda x: recorded(lambda: np.array(x.asnumpy()) * 2).backward(),
    "detach": lambda x: recorded(lambda: x.detach() * 2).backward(),
}


@pytest.mark.parametrize("case", NO_PATH.values(), ids=NO_PATH)
def test_no_graph_is_an_error_with_a_cure(case):
    x = leaf()
    with pytest.raises(MXNetError, match="retain_graph=True|autograd.record"):
        case(x)
    assert not autograd.is_recording()


def test_retain_graph_walks_again():
    x = leaf(req="add")
    y = recorded(lambda: x * x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8, 12]


# ---------------------------------------------------------------------------------------- writing in place


def add_one(x):
    x += 1


IN_PLACE = {
    "+=": add_one,
    "x[i] =": lambda x: x.__setitem__(0, 5),
    "out=": lambda x: np.exp(np.ones(3), out=x),
    "sort": lambda x: x.sort(),
}


@pytest.mark.parametrize("write", IN_PLACE.values(), ids=IN_PLACE)
@pytest.mark.parametrize("intermediate", [False, True])
def test_writing_to_a_recorded_array_is_refused(write, intermediate):
    x = leaf()
    with autograd.record():
        target = x * 2 if intermediate else x
        before = target.tolist()
        with pytest.raises(MXNetError, match="in-place.*computational graph.*y = y"):
            write(target)
        assert target.tolist() == before


@pytest.mark.parametrize("write", IN_PLACE.values(), ids=IN_PLACE)
def test_writing_to_an_array_outside_any_graph_works(write):
    with autograd.record():
        free = np.array([3.0, 2.0, 1.0])
        write(free)
    assert free.tolist() != [3, 2, 1]


def whole(x, y):
    y[:] = x * x
    return y


JOINED = {
    "out=": lambda x, y: np.multiply(x, x, out=y),
    "out= of a function": lambda x, y: np.concatenate([x * x], out=y),
    "copyto": lambda x, y: (x * x).copyto(y),
    "y[:] =": whole,
    "+=": lambda x, y: y.__iadd__(x * x),
    "*=": lambda x, y: y.__iadd__(1).__imul__(x * x),
}


@pytest.mark.parametrize("write", JOINED.values(), ids=JOINED)
def test_an_array_that_takes_a_recorded_result_joins_the_graph(write):
    x, y = leaf(), np.zeros(3)
    with autograd.record():
        z = write(x, y)
        total = (z * x).sum()
        with pytest.raises(MXNetError, match="in-place"):
            y[0] = 1
    total.backward()
    assert z is y and y.tolist() == [1, 4, 9] and x.grad.tolist() == [3, 12, 27]


def test_writing_between_forward_and_backward_is_never_a_wrong_gradient():
    x = leaf()
    y = recorded(lambda: x * x)
    x[:] = 7
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    part = leaf()
    y = recorded(lambda: part * part)
    part[1:][0] = 9  # through a view
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


# ---------------------------------------------------------------------------------------- flags

SCOPES = [
    (lambda: autograd.record(), (True, True)),
    (lambda: autograd.record(train_mode=False), (True, False)),
    (lambda: autograd.pause(), (False, False)),
    (lambda: autograd.pause(train_mode=True), (False, True)),
    (lambda: autograd.train_mode(), (False, True)),
    (lambda: autograd.predict_mode(), (False, False)),
]


def flags():
    return autograd.is_recording(), autograd.is_training()


@pytest.mark.parametrize(("scope", "expected"), SCOPES, ids=range(len(SCOPES)))
def test_scopes_set_the_flags_and_put_them_back(scope, expected):
    with scope():
        assert flags() == expected
    assert flags() == (False, False)
    with pytest.raises(KeyboardInterrupt), scope():
        raise KeyboardInterrupt
    assert flags() == (False, False)


def test_modes_inside_record_touch_training_only():
    with autograd.record():
        with autograd.predict_mode():
            assert flags() == (True, False)
        with autograd.pause():
            assert flags() == (False, False)
        assert flags() == (True, True)


def test_set_functions_return_what_was_before():
    assert [autograd.set_recording(True), autograd.set_recording(False)] == [False, True]
    assert [autograd.set_training(True), autograd.set_training(False)] == [False, True]


def test_flags_are_per_thread():
    seen = []
    with autograd.record():
        thread = threading.Thread(target=lambda: seen.append(flags()))
        thread.start()
        thread.join()
    assert seen == [(False, False)]


def test_pause_leaves_no_trace():
    x = leaf()
    with autograd.record():
        y = x * x
        with autograd.pause():
            w = y * 2
        z = y + w
    z.backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_python_control_flow():
    x = leaf([2.0])
    with autograd.record():
        y = x * 1
        while float(y) < 100:
            y = y * y if y > 3 else y + x
    y.backward()
    assert float(y) == 256 and float(x.grad) == 4 * 2 * 4**3  # (2x)^4


# ---------------------------------------------------------------------------------------- grad and Function


def test_grad_gives_a_list_and_leaves_the_buffers():
    x = leaf()
    y = recorded(lambda: x * x)
    found = autograd.grad(y, x, retain_graph=True)
    assert isinstance(found, list) and found[0].tolist() == [2, 4, 6] and x.grad.tolist() == [0, 0, 0]
    assert autograd.grad(y, [x], head_grads=np.array([1.0, 0.0, 2.0]))[0].tolist() == [2, 0, 12]


@pytest.mark.parametrize("create_graph", [False, True])
def test_grad_has_the_dtype_of_its_variable_and_a_buffer_of_its_own(create_graph):
    x, y = leaf(dtype="float16"), leaf(dtype="float64")
    z = recorded(lambda: x + y)
    dx, dy = autograd.grad(z, [x, y], retain_graph=True, create_graph=create_graph)
    assert (dx.dtype, dy.dtype) == ("float16", "float64")
    a, b = leaf(), leaf()
    da, db = autograd.grad(recorded(lambda: a + b), [a, b])
    da += 1
    assert da.tolist() == [2, 2, 2] and db.tolist() == [1, 1, 1]


def test_grad_of_an_intermediate():
    x = leaf()
    with autograd.record():
        y = x * 2
        z = y * y
    assert autograd.grad(z, [x, y])[1].tolist() == [4, 8, 12]


HIGHER = {
    "x + x ** 3": (lambda x: x + x**3, lambda x: 6 * x),
    "exp": (np.exp, onp.exp),
    "x / (1 + x)": (lambda x: x / (1 + x), lambda x: -2 / (1 + x) ** 3),
    "2 ** x": (lambda x: 2**x, lambda x: onp.log(2) ** 2 * 2**x),
    "x[1:] * x[:-1]": (lambda x: x[1:] * x[:-1], lambda x: [1, 2, 1]),
    "norm": (lambda x: np.linalg.norm(x) ** 2, lambda x: [2, 2, 2]),
    "std": (lambda x: np.var(x) * 3, lambda x: [0, 0, 0]),
}


@pytest.mark.parametrize("case", HIGHER.values(), ids=HIGHER)
def test_second_derivative(case):
    function, second = case
    x = leaf(dtype="float64")
    with autograd.record():
        first = autograd.grad(function(x), x, create_graph=True)[0]
    first.backward()
    onp.testing.assert_allclose(x.grad.asnumpy(), second(x.asnumpy()), rtol=1e-9, atol=1e-12)


def test_third_derivative():
    x = leaf(dtype="float64")
    with autograd.record():
        g = np.sin(x)
        for _ in range(2):
            g = autograd.grad(g, x, create_graph=True)[0]
    g.backward()
    onp.testing.assert_allclose(x.grad.asnumpy(), -onp.cos(x.asnumpy()), rtol=1e-12)


class Clipped(autograd.Function):
    """x², with a gradient that is not that of x²: whose rule ran is seen in the numbers."""

    def forward(self, x, factor):
        self.save_for_backward(x, factor)
        return x * x, x + factor

    def backward(self, dy, dz):
        x, factor = self.saved_tensors
        return dy * x * 10 + dz, dz.sum() * factor


def test_function_uses_its_own_backward():
    x, factor = leaf(), leaf([4.0])
    with autograd.record():
        y, z = Clipped()(x * 1, factor)
        total = y.sum() + 2 * z.sum()
    total.backward()
    assert y.tolist() == [1, 4, 9] and x.grad.tolist() == [12, 22, 32] and factor.grad.tolist() == [24]


def test_function_of_one_output_gives_an_array():
    class Halve(autograd.Function):
        def forward(self, x):
            return x / 2

        def backward(self, dy):
            return dy * 100

    x = leaf()
    y = recorded(Halve(), x)
    y.backward()
    assert y.tolist() == [0.5, 1, 1.5] and x.grad.tolist() == [100, 100, 100]
