"""Bad input to the tape and the trainer."""

import operator
import threading

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np, npx
from d2lblocks.gluon import nn
from tests.errors.rows import check_table, covers, net_of, refused

X = np.ones((2, 3))


def leaf(numbers=(1.0, 2.0)):
    x = np.array(list(numbers))
    x.attach_grad()
    return x


def recorded(function, x=None):
    x = leaf() if x is None else x
    with autograd.record():
        return function(x)


def twice(function=lambda x: (x * x).sum()):
    def action():
        x = leaf()
        y = recorded(function, x)
        y.backward()
        before = x.grad.tolist()
        try:
            y.backward()
        finally:
            assert x.grad.tolist() == before

    return action


def in_place(change):
    """Change a leaf, and what is computed from it, inside record: both are refused, and neither has changed."""

    def action():
        x = leaf()
        y = recorded(lambda x: x * 1, x)
        try:
            with pytest.raises(RuntimeError, match="in-place"):
                recorded(lambda _: change(y), x)
            recorded(change, x)
        finally:
            assert x.tolist() == y.tolist() == [1.0, 2.0]

    return action


def changed_between(change, function=lambda x: (x * x).sum()):
    def action():
        x = leaf()
        y = recorded(function, x)
        change(x)
        try:
            y.backward()
        finally:
            assert not x.grad.any()

    return action


def head(gradient):
    def action():
        x = leaf()
        y = recorded(lambda x: x * 3, x)
        try:
            y.backward(gradient)
        finally:
            assert not x.grad.any()
            y.backward()
            assert x.grad.tolist() == [3.0, 3.0]

    return action


class Own(autograd.Function):
    def __init__(self, answer, outputs=lambda x: x * 2):
        super().__init__()
        self.answer, self.outputs = answer, outputs

    def forward(self, x):
        return self.outputs(x)

    def backward(self, g):
        return self.answer(g)


def entered(scope):
    with scope:
        pass


def own(*arguments):
    def action():
        x = leaf()
        try:
            recorded(lambda x: Own(*arguments)(x), x).backward()
        finally:
            assert not x.grad.any()

    return action


NO_PATH = ("no recorded path leads", "autograd.record()", "attach_grad")
INDEX = np.array([0, 1], dtype="int32")
WRITES = [
    *(lambda x, f=f, v=v: f(x, v)
      for f in (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.imod, operator.ipow)
      for v in (1, np.ones(2))),
    lambda x: x.__setitem__(0, 5), lambda x: x.__setitem__(slice(None), np.ones(2)), lambda x: np.exp(np.ones(2), out=x),
    lambda x: np.ones(2).copyto(x), lambda x: np.full(2, 1, out=x), lambda x: np.random.uniform(size=2, out=x),
    lambda x: np.random.shuffle(x), lambda x: x.sort(), lambda x: onp.exp(np.ones(2), out=x),
    lambda x: x[:1].__setitem__(0, 9), lambda x: gluon.utils.clip_global_norm([x], 0.1),
]  # fmt: skip

TABLE = [
    ("G1", twice(), RuntimeError, "graph", "already", "retain_graph=True"),
    ("G1", twice(lambda x: x * 2), RuntimeError, "retain_graph=True"),
    ("G1", twice(lambda x: net_of(nn.Dense(1, in_units=2))(x.reshape(1, 2))), RuntimeError, "retain_graph=True"),
    ("G2", lambda: (leaf() * 2).backward(), RuntimeError, *NO_PATH),
    ("G2", lambda: net_of(nn.Dense(2))(X).backward(), RuntimeError, *NO_PATH),
    ("G2", lambda: autograd.backward([leaf() * 2]), RuntimeError, *NO_PATH),
    ("G2", lambda: autograd.grad(leaf() * 2, leaf()), RuntimeError, *NO_PATH),
    ("G3", lambda: recorded(lambda x: x * 2, np.ones(2)).backward(), RuntimeError, *NO_PATH),
    ("G3", lambda: autograd.grad(recorded(lambda x: x * 2), np.ones(2)), RuntimeError, "attach_grad"),
    ("G4", lambda: recorded(lambda x: x.detach() * 2).backward(), RuntimeError, *NO_PATH),
    ("G4", lambda: recorded(lambda x: np.array(x.asnumpy())).backward(), RuntimeError, *NO_PATH),
    ("G4", lambda: recorded(lambda x: np.array(x) * 2).backward(), RuntimeError, *NO_PATH),
    ("G4", lambda: recorded(lambda x: np.array(float(x.sum()))).backward(), RuntimeError, *NO_PATH),
    *(("G6", in_place(change), RuntimeError, "in-place", "y = y + ...") for change in WRITES),
    ("G6", lambda: recorded(lambda x: np.zeros(2).__setitem__(0, x[0])), RuntimeError, "in-place"),
    ("G6", lambda: recorded(lambda x: np.exp(x, out=x * 2)), RuntimeError, "in-place", "out"),
    *(("G7", changed_between(change), RuntimeError, "changed in place", "backward()") for change in WRITES),
    ("G7", changed_between(lambda x: x.detach().__setitem__(0, 9)), RuntimeError, "changed in place"),
    ("G7", changed_between(lambda x: x.__setitem__(0, 9), lambda x: np.dot(x, x)), RuntimeError, "matmul"),
    ("G8", head(np.ones(3)), ValueError, "(3,)", "(2,)"),
    ("G8", head(np.array(1.0)), ValueError, "()", "(2,)"),
    ("G8", head(np.ones((1, 2))), ValueError, "(1, 2)", "(2,)"),
    ("G8", head([1, 1]), TypeError, "list", "np.array(...)"),
    ("G8", head(onp.ones(2)), TypeError, "numpy.ndarray", "np.array(...)"),
    ("G8", head(1.0), TypeError, "float"),
    ("G8", own(lambda g: np.ones(5)), ValueError, "Own", "(5,)", "(2,)"),
    ("G8", own(lambda g: (g, g)), ValueError, "Own", "2 gradients", "1 inputs"),
    ("G8", own(lambda g: onp.ones(2)), TypeError, "Own", "numpy.ndarray"),
    ("G8", own(lambda g: g, lambda x: None), TypeError, "Own", "NoneType"),
    ("G8", lambda: autograd.backward([X, X], [X]), ValueError, "2 heads", "1 head"),
    ("G8", lambda: autograd.backward(onp.ones(2)), TypeError, "numpy.ndarray"),
    ("G8", lambda: autograd.grad(recorded(lambda x: x * 2), 3), TypeError, "int"),
    *(("G9", lambda v=v, f=f: f(v), ValueError, "write", "add", "null", repr(v))
      for v in ("bad", None, 3, "WRITE")
      for f in (lambda v: np.ones(2).attach_grad(v), lambda v: gluon.Parameter("w", grad_req=v),
                lambda v: setattr(nn.Dense(2).weight, "grad_req", v), lambda v: autograd.mark_variables([X], [X], [v]))),
    *(("G10", lambda d=d: np.ones(2, dtype=d).attach_grad(), TypeError, "float", d) for d in ("int32", "int64", "bool")),
    ("G10", lambda: autograd.mark_variables([np.ones(2, dtype="int32")], [np.ones(2)]), ValueError, "float", "int32"),
    *(("G11", lambda f=f: recorded(f).backward(), RuntimeError, word, "derivative") for f, word in (
        (lambda x: np.linalg.eigvals(np.eye(2) * x), "eig"),
        (lambda x: npx.pick(np.ones((2, 3)), x), "pick"), (lambda x: np.take(np.ones(3), x), "take"))),
    ("G11", lambda: recorded(lambda x: np.pad(x, 1, mode="maximum")).backward(), NotImplementedError, "pad", "maximum"),
    *(("G11", lambda f=f: recorded(f).backward(), RuntimeError, *NO_PATH)
      for f in (lambda x: x.argmax(), lambda x: x > 0, np.argsort, np.unique, lambda x: npx.one_hot(x, 3))),
    *(("G15", lambda scope=scope: entered(scope), TypeError, name + "()") for scope, name in (
        (autograd.record, "record"), (autograd.pause, "pause"), (autograd.train_mode, "train_mode"))),
]  # fmt: skip


@check_table(TABLE)
def test_refused(case):
    refused(*case[1:])


@covers("G5")
def test_a_float_has_no_backward():
    with pytest.raises(AttributeError, match="'float' object has no attribute 'backward'"):
        float(recorded(lambda x: x.sum())).backward()


@covers("G7")
def test_what_may_change_between_forward_and_backward():
    for change in (
        lambda x: x.reshape(2, 1).__setitem__(0, 5),
        lambda x: x.asnumpy().fill(3),
        lambda x: x.copy().sort(),
    ):
        x = leaf()
        y = recorded(lambda x: (x * x).sum(), x)
        change(x)
        y.backward()
        assert x.grad.tolist() == [2.0, 4.0]


@covers("G7")
@pytest.mark.parametrize("pick", [lambda x, i: x[i], lambda x, i: np.take(x, i), lambda x, i: x[(i,)]])
def test_an_index_changed_later(pick):
    x, index = leaf(), np.array([0, 1], dtype="int32")
    y = recorded(lambda x: (pick(x, index) * np.array([1.0, 5.0])).sum(), x)
    index[:] = 0
    try:
        y.backward()
    except RuntimeError as problem:
        assert "changed in place" in str(problem)
    else:
        assert x.grad.tolist() == [1.0, 5.0]


class Twice(autograd.Function):
    def forward(self, x):
        return x * 2

    def backward(self, g):
        return g * 2


@covers("G7")
@pytest.mark.parametrize("change", [lambda y: y, lambda y: y[0:1], lambda y: y.detach(), lambda y: y[0:2][1:2]])
@pytest.mark.parametrize(
    "make", [lambda x: x * 2, lambda x: np.split(x, 1)[0], lambda x: np.split(x, 2)[1], lambda x: Twice()(x)]
)
def test_an_output_changed_later(make, change):
    with autograd.record():
        y = make(leaf((1.0, 2.0, 3.0, 4.0)))
        z = (y * y).sum()
    change(y)[...] = 5
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()


@covers("G7")
def test_a_constant_that_later_joins_the_graph():
    x, c = leaf(), np.array([3.0, 4.0])
    with autograd.record():
        y = (x * c).sum()
        c += x
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


@covers("G11")
@pytest.mark.parametrize("step", [np.floor, np.sign, np.round, lambda x: x.astype("int32").astype("float32"),
                                  lambda x: np.where(x, 1.0, np.zeros(2)) + x * 0])  # fmt: skip
def test_steps_have_zero_gradient(step):
    x = leaf()
    recorded(step, x).backward()
    assert x.grad.tolist() == [0.0, 0.0]


@covers("G12")
def test_no_gradient_before_attach_grad():
    assert np.ones(2).grad is None and (leaf() * 2).grad is None
    assert recorded(lambda x: x * 2).grad is None
    assert leaf().grad.tolist() == [0.0, 0.0]


@covers("G13")
@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_flags_come_back_after_an_error(problem):
    scope = autograd.record()
    with pytest.raises(problem), scope, autograd.pause(), scope:
        assert autograd.is_recording() and autograd.is_training()
        raise problem
    assert not autograd.is_recording() and not autograd.is_training()


@covers("G13")
def test_flags_come_back_after_return_and_close():
    def returns():
        with autograd.record():
            return autograd.is_recording()

    def generator():
        with autograd.record():
            yield 1

    assert returns() and not autograd.is_recording()
    steps = generator()
    next(steps)
    steps.close()
    assert not autograd.is_recording()


@covers("G13")
def test_a_rule_that_fails_leaves_the_tape_usable():
    x = leaf()
    with pytest.raises(ZeroDivisionError):
        recorded(lambda x: Own(lambda g: 1 / 0)(x), x).backward()
    assert not autograd.state.pulling and not x.grad.any()
    recorded(lambda x: x * 3, x).backward()
    assert x.grad.tolist() == [3.0, 3.0]


@covers("G14")
def test_record_left_open_ends_with_the_cell():
    autograd.record().__enter__()
    with pytest.warns(UserWarning, match="still open") as caught:
        autograd.reset_open_record()
    assert len(caught) == 1 and caught[0].filename == __file__
    assert not autograd.is_recording() and not autograd.is_training()


@covers("G16")
def test_another_thread_starts_fresh():
    seen = []
    with autograd.record():
        thread = threading.Thread(
            target=lambda: seen.extend([autograd.is_recording(), autograd.is_training(), np.array(3).shape])
        )
        thread.start()
        thread.join()
        assert autograd.is_recording()
    assert seen == [False, False, ()]


@covers("G17")
def test_a_long_chain_of_operations():
    x = leaf([1.0])
    with autograd.record():
        y = x
        for _ in range(100_000):
            y = y + 1
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [1.0]
    del y  # with the graph: 100,000 nodes go without recursion


@covers("G19")
def test_backward_of_several_numbers_sums():
    x = leaf()
    recorded(lambda x: x * x, x).backward()
    assert x.grad.tolist() == [2.0, 4.0]


class Square(autograd.Function):
    def forward(self, x):
        self.save_for_backward(x)
        return x * x

    def backward(self, g):
        return 2 * self.saved_tensors[0] * g


def test_a_function_is_called_once():
    """What it keeps for one call would be taken for the other's."""
    f, a, b = Square(), np.array([3.0]), np.array([5.0])
    with autograd.record():
        f(a)
    with pytest.raises(AssertionError, match=r"only be called once.*Square\(\)\(x\)"):
        f(b)


def test_what_a_function_keeps_must_stay():
    a = leaf((3.0,))
    with autograd.record():
        y = Square()(a)
    a[:] = 100
    refused(y.backward, RuntimeError, "changed in place")
