"""Bad input: the class of the error and the words its message must hold. One row per line of the specification."""

import threading

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, init, np, npx
from d2lblocks.gluon import nn

NAN = float("nan")


def net_of(*layers, ready=True):
    net = nn.Sequential()
    net.add(*layers)
    if ready:
        net.initialize()
    return net


def recorded(function):
    x = np.array([1.0, 2.0])
    x.attach_grad()
    with autograd.record():
        return function(x)


def twice():
    y = recorded(lambda x: (x * x).sum())
    y.backward()
    y.backward()


def changed_between():
    x = np.array([1.0, 2.0])
    x.attach_grad()
    with autograd.record():
        y = (x * x).sum()
    x[:] = 7
    y.backward()


def without_super():
    class Net(nn.Block):
        def __init__(self):
            self.layer = nn.Dense(2)

    Net()


def into_itself():
    net, inner = nn.Sequential(), nn.Sequential()
    net.add(inner)
    inner.add(net)


def attribute(value):
    layer = nn.Dense(2, in_units=2)
    layer.weight = value


X = np.ones((2, 3))
ROWS = [
    (lambda: X + onp.ones((2, 3)), TypeError, "numpy.ndarray", "np.array(...)"),
    (lambda: onp.ones((2, 3)) + X, TypeError, "numpy.ndarray"),
    (lambda: np.dot(X, onp.ones(3)), TypeError, "numpy.ndarray"),
    (lambda: X + [1, 2], TypeError, "list"),
    (lambda: X + None, TypeError),
    (lambda: X + "a", TypeError, "str"),
    (lambda: np.array([[1, 2], [3]]), TypeError, "different lengths"),
    (lambda: np.array([[1, 2], [3]]), ValueError),
    (lambda: np.array(["a"]), TypeError, "'a'"),
    (lambda: np.array([1j]), TypeError, "1j"),
    (lambda: np.array([None, 1]), TypeError, "None"),
    (lambda: np.array([1, 2], dtype="int16"), TypeError, "int16", "float32"),
    (lambda: X + np.ones(2), ValueError, "(2, 3)", "(2,)"),
    (lambda: X.reshape(5, 5), ValueError, "(2, 3)", "(5,5)"),
    (lambda: np.concatenate([X, np.ones((1, 2))]), ValueError, "(2, 3)", "(1, 2)"),
    (lambda: np.dot(X, X), ValueError, "(2, 3)"),
    (lambda: X.sum(axis=5), IndexError, "5"),
    (lambda: X[7], IndexError, "7"),
    (lambda: float(X), TypeError, "size-1"),
    (lambda: bool(X), ValueError, "ambiguous"),
    (lambda: bool(np.zeros((0,))), ValueError, "empty"),
    (lambda: list(np.array(3)), TypeError, "0-d"),
    (lambda: len(np.array(3)), TypeError, "unsized"),
    (lambda: {X: 1}, TypeError, "unhashable"),
    (lambda: X.__setitem__(slice(None), np.ones(5)), ValueError, "(2,3)"),
    (lambda: np.array([1], dtype="int32").__iadd__(np.array([1.5])), TypeError, "float32", "int32"),
    (lambda: np.zeros((10**9, 10**9)), MemoryError, "GiB"),
    (lambda: np.zeros(-1), ValueError, "negative"),
    (lambda: np.zeros(2.5), TypeError, "2.5"),
    (twice, RuntimeError, "graph", "already", "retain_graph=True"),
    (lambda: (X * 2).backward(), RuntimeError, "autograd.record()", "attach_grad"),
    (lambda: recorded(lambda x: x.detach() * 2).backward(), RuntimeError, "no recorded path leads"),
    (lambda: recorded(lambda x: np.array(x.asnumpy())).backward(), RuntimeError, "no recorded path leads"),
    (lambda: recorded(lambda x: x.__iadd__(1)), RuntimeError, "in-place", "y = y + ..."),
    (lambda: recorded(lambda x: x.__setitem__(0, 1)), RuntimeError, "in-place"),
    (lambda: recorded(lambda x: np.exp(x, out=x)), RuntimeError, "in-place"),
    (changed_between, RuntimeError, "changed in place"),
    (lambda: recorded(lambda x: x * 2).backward(np.ones(3)), ValueError, "(3,)", "(2,)"),
    (lambda: X.attach_grad("bad"), ValueError, "write", "add", "null"),
    (lambda: np.array([1], dtype="int32").attach_grad(), TypeError, "float"),
    (lambda: autograd.record.__enter__(), TypeError, "record()"),
    (without_super, RuntimeError, "super().__init__()", "Net"),
    (without_super, AttributeError, "_children"),
    (lambda: nn.Block()(X), NotImplementedError, "Block", "forward"),
    (lambda: net_of(npx.relu), TypeError, "relu"),
    (lambda: net_of(nn.Dense), TypeError, "Dense(...)"),
    (lambda: net_of([nn.Dense(1)]), TypeError, "add(*layers)"),
    (lambda: net_of(None), TypeError, "None"),
    (lambda: net_of(3), TypeError, "3"),
    (lambda: nn.Sequential(nn.Dense(1), nn.Dense(2)), TypeError, "add"),
    (into_itself, ValueError, "contains itself"),
    (lambda: setattr(nn.Block(), "params", 3), AttributeError, "reserved"),
    (lambda: attribute(X), TypeError, "set_data"),
    (lambda: nn.Dense(0), ValueError, "units", "0"),
    (lambda: nn.Dense(-3), ValueError, "-3"),
    (lambda: nn.Dense(2.5), TypeError, "2.5"),
    (lambda: nn.Dense("4"), TypeError, "'4'"),
    (lambda: nn.Dense(2, activation="foo"), ValueError, "foo", "relu", "tanh"),
    (lambda: nn.Dense(2, unit=3), TypeError, "Dense", "unit"),
    (lambda: nn.Dense(2, params=nn.Dense(2)), TypeError, "block.params"),
    (lambda: nn.Block()[0], TypeError),
    (lambda: net_of(nn.Dense(1)).collect_params("("), ValueError, "("),
    (lambda: net_of(nn.Dense(1), ready=False).initialize("nosuch"), ValueError, "nosuch", "xavier"),
    (lambda: net_of(nn.Dense(1), ready=False).initialize(init.Normal), TypeError, "Normal()"),
    (lambda: net_of(nn.Dense(1, in_units=1), ready=False).initialize(ctx=npx.gpu()), RuntimeError, "no GPU support"),
    (lambda: np.ones(2, ctx=npx.gpu()), RuntimeError, "no GPU support"),
    (lambda: net_of(nn.Dense(1))([[1.0]]), TypeError, "np.array", "net[0] (Dense)"),
    (lambda: net_of(nn.Dense(1))(None), TypeError, "None"),
    (lambda: net_of(nn.Dense(1))(onp.ones((1, 1))), TypeError, "numpy.ndarray", "np.array(x)"),
    (lambda: net_of(nn.Dense(1))(), TypeError),
    (lambda: net_of(nn.Dense(4, in_units=3))(np.ones((2, 5))), ValueError,
     "net[0] (Dense)", "expects input of 3 features (weight (4, 3))", "(2, 5)"),
    (lambda: net_of(nn.Dense(4, in_units=3))(np.ones(3)), ValueError, "x.reshape(1, -1)"),
    (lambda: net_of(nn.Dense(4))(np.array(3)), ValueError),
    (lambda: net_of(nn.Dense(4))(np.ones((2, 0))), ValueError, "(2, 0)"),
    (lambda: net_of(nn.Dense(4, in_units=3))(np.ones((2, 3), dtype="int32")), ValueError, "int32", "float32", "astype"),
    (lambda: net_of(nn.Dense(4, in_units=3))(np.ones((2, 3), dtype="float64")), ValueError, "float64", "astype"),
    (lambda: net_of(nn.Dense(4, in_units=3), ready=False)(X), RuntimeError, "initialize()"),
    (lambda: net_of(nn.Dense(4, in_units=3))[0].weight.set_data(np.ones((2, 2))), ValueError, "(4, 3)", "(2, 2)"),
    (lambda: net_of(nn.Dense(4, in_units=3))[0].weight.set_data([1]), TypeError, "list"),
    (lambda: gluon.loss.SoftmaxCrossEntropyLoss()(X, np.array([1, 3])), ValueError, "3", "3 classes"),
    (lambda: gluon.loss.L2Loss()(X, np.ones((2, 4))), ValueError, "(2, 3)", "(2, 4)"),
    (lambda: gluon.Trainer(3, "sgd"), ValueError, "list or dict of Parameters"),
    (lambda: gluon.Trainer({}, "foo"), ValueError, "foo", "adam"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_row(row):
    action, kind, *words = row
    with pytest.raises(kind) as problem:
        action()
    for word in words:
        assert word in str(problem.value)
    assert not autograd.is_recording()


def test_what_is_allowed():
    assert (X == None).tolist() == [[False] * 3] * 2  # noqa: E711
    assert npx.relu(np.array([NAN])).tolist() != [0.0]
    assert np.log(np.array([-1.0])).tolist() != [0.0]
    assert (np.ones(1) / np.zeros(1)).tolist() == [float("inf")]
    assert (np.ones((2, 2)) @ np.ones((2, 2), dtype="float64")).dtype == "float64"
    assert X.grad is None
    assert net_of(nn.Dense(2, in_units=3))(np.ones((0, 3))).shape == (0, 2)


def test_a_long_chain_of_operations():
    x = np.ones(1)
    x.attach_grad()
    with autograd.record():
        y = x
        for _ in range(100_000):
            y = y + 1
    y.backward()
    assert x.grad.tolist() == [1.0]
    with autograd.record():
        for _ in range(100_000):
            y = y * x
    del y


def test_unregistered_container_warns():
    class Net(nn.Block):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Dense(2)]

    with pytest.warns(UserWarning, match="register_child"):
        Net().collect_params()


def test_forward_without_return_warns():
    class Net(nn.Block):
        def forward(self, x):
            x + 1

    with pytest.warns(UserWarning, match="returned None"):
        Net()(X)


def test_record_left_open_ends_with_the_cell():
    autograd.record().__enter__()
    with pytest.warns(UserWarning, match="still open"):
        autograd.reset_open_record()
    assert not autograd.is_recording() and not autograd.is_training()


def test_flags_come_back_after_an_error():
    with pytest.raises(KeyboardInterrupt), autograd.record():
        raise KeyboardInterrupt
    assert not autograd.is_recording()


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


def test_another_thread_starts_fresh():
    seen = []
    with autograd.record():
        thread = threading.Thread(
            target=lambda: seen.extend([autograd.is_recording(), autograd.is_training(), np.array(3).shape])
        )
        thread.start()
        thread.join()
    assert seen == [False, False, ()]


def test_initializer_that_rebinds_its_argument_warns():
    class Rebinding(init.Initializer):
        def _init_weight(self, name, data):
            data = data + 1  # noqa: F841 - the mistake under test

    with pytest.warns(UserWarning, match=r"data\[:\] ="):
        nn.Dense(2, in_units=2, weight_initializer=Rebinding()).initialize()


@pytest.mark.parametrize("write", [lambda d: d.__setitem__(slice(None), np.ones(99)), None])
def test_bad_initializers_name_the_parameter(write):
    class Bad(init.Initializer):
        pass

    if write is not None:
        Bad._init_weight = lambda self, name, data: write(data)
    with pytest.raises((ValueError, NotImplementedError), match="p_weight"):
        nn.Dense(3, in_units=2, prefix="p_", weight_initializer=Bad()).initialize()


def test_equal_prefixes():
    with pytest.raises(ValueError, match="a_weight"):
        net_of(nn.Dense(2, prefix="a_", in_units=2), nn.Dense(2, prefix="a_", in_units=2)).collect_params()


def test_layer_added_after_initialize():
    net = net_of(nn.Dense(2))
    net.add(nn.Dense(3))
    with pytest.raises(RuntimeError, match=r"not been initialized(.|\n)*initialize\(\) again"):
        net(X)


def test_same_block_twice_is_shared():
    layer = nn.Dense(3)
    net = net_of(layer, layer)
    assert list(net._collect_params_with_prefix()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert len(list(net.collect_params())) == 2


def test_deleted_child_is_gone():
    block = nn.Block()
    block.layer = nn.Dense(2)
    block.layer = nn.Dense(3)
    assert len(block._children) == 1
    del block.layer
    assert not block._children and not list(block.collect_params())


def test_parameter_on_no_attribute_is_not_saved(tmp_path):
    block = nn.Block(prefix="b_")
    block.params.get("w", shape=(2,))
    block.initialize()
    with pytest.warns(UserWarning, match="b_w is trained but not saved"):
        block.save_parameters(tmp_path / "f")


def test_params_get_twice():
    params = gluon.ParameterDict("p_")
    params.get("w", shape=(2, -1))
    assert params.get("w", shape=(2, 3)).shape == (2, 3)
    with pytest.raises(AssertionError, match=r"desired '\(5, 3\)' vs stored '\(2, 3\)'"):
        params.get("w", shape=(5, 3))


def test_gradient_before_backward_is_zero():
    net = net_of(nn.Dense(2, in_units=3))
    assert not net[0].weight.grad().any()
    assert np.isnan(net(X * NAN)).all()
