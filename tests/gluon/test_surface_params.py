"""Initialization, sharing, constants and parameter files, as MXNet 1.9.1 has them."""

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, init, np, npx
from d2lblocks.errors import DeferredInitializationError, MXNetError
from d2lblocks.gluon import nn
from tests.gluon.test_surface_names import chain

NEW = (
    "Parameter 'd_weight' has not been initialized. Note that you should initialize parameters and create Trainer with "
    "Block.collect_params() instead of Block.params because the later does not include Parameters of nested child Blocks"
)
WAITING = (
    "Parameter 'd_weight' has not been initialized yet because initialization was deferred. Actual initialization happens "
    "during the first forward pass. Please pass one batch of data through the network before accessing Parameters. You "
    "can also avoid deferred initialization by specifying in_units, num_features, etc., for network layers."
)


def ready(*shape, **kwargs):
    p = gluon.Parameter("w", shape=shape, **kwargs)
    p.initialize(init.One())
    return p


class Noisy(init.Initializer):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def _init_weight(self, name, arr):
        self.calls.append((type(name), name, arr.shape))
        arr[:] = 1


# ------------------------------------------------------------------------------------------------ 1.5 initialization


def test_order_of_initialization():
    calls = []
    net = chain(nn.Dense(4, prefix="a_"), nn.Dense(2, in_units=4, prefix="b_"), nn.Dense(3, prefix="c_"))
    assert net.initialize(Noisy(calls)) is None
    assert calls == [(init.InitDesc, "b_weight", (2, 4))]  # a and c wait; biases have an initializer of their own
    assert [p.state for p in net.collect_params().values()] == [
        "waiting",
        "ready",
        "ready",
        "ready",
        "waiting",
        "ready",
    ]
    net(np.ones((2, 3)))
    assert calls[1:] == [(init.InitDesc, "a_weight", (4, 3)), (init.InitDesc, "c_weight", (3, 2))]


def test_plain_block_infers_nothing():
    class Plain(nn.Block):
        def __init__(self):
            super().__init__(prefix="d_")
            self.w = self.params.get("weight", shape=(2, -1), allow_deferred_init=True)

        def forward(self, x):
            return np.dot(x, self.w.data().T)

    net = Plain()
    net.initialize()
    with pytest.raises(DeferredInitializationError):
        net(np.ones((2, 3)))
    net.w.shape = (2, 3)
    with pytest.raises(DeferredInitializationError):  # a shape alone is no value
        net.w.data()
    net.w.set_data(np.ones((2, 3)))
    assert net(np.ones((1, 3))).tolist() == [[3, 3]]


def test_who_wins():
    d = nn.Dense(2, in_units=2, weight_initializer=init.Constant(5))
    for force in (False, True):
        d.initialize(init.One(), force_reinit=force)
        assert d.weight.data().tolist() == [[5, 5], [5, 5]] and d.bias.data().tolist() == [0, 0]
        d.weight.initialize(init=init.Constant(7), force_reinit=True)
        assert d.weight.data().tolist() == [[7, 7], [7, 7]]


def test_names_decide_nothing():
    b = nn.Block()
    b.bias, b.gamma = b.params.get("bias", shape=(3,)), b.params.get("gamma", shape=(3,))
    b.initialize(init.Constant(3))
    assert b.bias.data().tolist() == b.gamma.data().tolist() == [3, 3, 3]


DUMPS = {
    "Zero": '["zero", {}]', "One": '["one", {}]', "Uniform": '["uniform", {"scale": 0.07}]',
    "Normal": '["normal", {"sigma": 0.01}]', "Orthogonal": '["orthogonal", {"scale": 1.414, "rand_type": "uniform"}]',
    "Xavier": '["xavier", {"rnd_type": "uniform", "factor_type": "avg", "magnitude": 3}]',
    "MSRAPrelu": '["msraprelu", {"factor_type": "avg", "slope": 0.25}]', "Bilinear": '["bilinear", {}]',
    "LSTMBias": '["lstmbias", {"forget_bias": 1.0}]',
}  # fmt: skip


@pytest.mark.parametrize("name", DUMPS)
def test_initializer_by_name(name):
    made = getattr(init, name)()
    assert made.dumps() == DUMPS[name]
    assert init.create(DUMPS[name]) == init.create(name.lower()) == made


def test_initializers_compare_by_arguments():
    assert init.Constant(2).dumps() == '["constant", {"value": 2}]'
    assert init.Constant(2) == init.Constant(2) != init.Constant(3) and init.Zero() != init.One()
    assert [type(init.create(name)).__name__ for name in ("zeros", "ones")] == ["Zero", "One"]


def test_mixed_fills_by_name():
    d = nn.Dense(2, in_units=1, bias_initializer=None, prefix="d_")
    d.initialize(init.Mixed([".*bias", ".*"], [init.Constant(3), init.One()]))
    assert d.weight.data().tolist() == [[1], [1]] and d.bias.data().tolist() == [3, 3]


def test_default_is_uniform():
    d = nn.Dense(100, in_units=100)
    d.initialize()
    assert 0.069 < float(abs(d.weight.data()).max()) <= 0.07


UNREADY = [
    lambda d: d.weight.data(), lambda d: d.weight.grad(), lambda d: d.weight.list_data(), lambda d: d.weight.list_grad(),
    lambda d: d.save_parameters("never.params"),
]  # fmt: skip


@pytest.mark.parametrize("use", UNREADY)
def test_reading_too_early(use):
    d = nn.Dense(2, prefix="d_")
    with pytest.raises(RuntimeError) as problem:
        use(d)
    assert str(problem.value).startswith(NEW) and not isinstance(problem.value, DeferredInitializationError)
    d.initialize()
    with pytest.raises(DeferredInitializationError) as problem:
        use(d)
    assert str(problem.value) == WAITING and isinstance(problem.value, MXNetError)


def test_what_works_before_and_while_waiting():
    d = nn.Dense(2, prefix="d_")
    with pytest.raises(RuntimeError, match="^Parameter 'd_weight' has not been initialized$"):
        d.weight.list_ctx()
    with pytest.raises(RuntimeError, match="^Parameter 'd_weight' has not been initialized"):
        d.weight.set_data(np.ones((2, 2)))
    assert d.weight.zero_grad() is None
    d.initialize()
    assert d.weight.list_ctx() == [npx.cpu()] and d.weight.zero_grad() is None


TEXTS = [
    (lambda: ready(3, -1), ValueError, "Cannot initialize Parameter 'w' because it has invalid shape: (3, -1)."),
    (lambda: gluon.Parameter("w").initialize(), ValueError,
     "Cannot initialize Parameter 'w' because it has invalid shape: None."),
    (lambda: gluon.Parameter("w", shape=(3,)).initialize(init.Xavier()), ValueError,
     "Xavier initializer cannot be applied to vector w. It requires at least 2D."),
    (lambda: gluon.Parameter("w", shape=(3,)).initialize("foo"), AssertionError,
     "Parameter 'w': foo is not registered. Please register with initializer.register first"),
    (lambda: nn.Dense(1).initialize(3), AssertionError, "initializer must be of string type"),
    (lambda: ready(3).data(npx.cpu(1)), RuntimeError,
     "Parameter 'w' was not initialized on context cpu(1). It was only initialized on [cpu(0)]."),
    (lambda: ready(3).grad(npx.cpu(1)), RuntimeError, "Parameter 'w' was not initialized on context cpu(1)."),
    (lambda: ready(3, 4).set_data(np.ones((3, 5))), AssertionError,
     "Expected shape (3, 4) is incompatible with given shape (3, 5): the first is that of Parameter 'w'"),
    (lambda: setattr(ready(3, 4), "shape", (3, 5)), AssertionError,
     "Expected shape (3, 4) is incompatible with given shape (3, 5): the first is that of Parameter 'w'"),
    (lambda: ready(2).initialize(ctx=npx.gpu(0), force_reinit=True), MXNetError, "gpu(0) cannot be used"),
    (lambda: gluon.Parameter("w", shape=(2,)).reset_ctx(npx.cpu(1)), ValueError,
     "Cannot reset context for Parameter 'w' because it has not been initialized."),
    (lambda: gluon.Parameter("w", grad_req="foo"), AssertionError,
     "grad_req must be one of 'write', 'add', or 'null', but got 'foo'"),
    (lambda: ready(2, grad_req="null").grad(), RuntimeError,
     "Cannot get gradient array for Parameter 'w' because grad_req='null'"),
    (lambda: nn.Dense(2, params={}), TypeError, "params must be a ParameterDict, got dict."),
    (lambda: nn.Dense(7, in_units=8, params=nn.Dense(8, in_units=8, prefix="a_").params), AssertionError,
     "Cannot retrieve Parameter 'a_weight' because desired attribute does not match with stored for attribute 'shape': "
     "desired '(7, 8)' vs stored '(8, 8)'."),
    (lambda: nn.Block(prefix="p_").params.get_constant("zz"), KeyError,
     '"No constant named \'p_zz\'. Please specify value if you want to create a new constant."'),
]  # fmt: skip


@pytest.mark.parametrize(("do", "error", "text"), TEXTS)
def test_error_text(do, error, text):
    with pytest.raises(error) as problem:
        do()
    assert str(problem.value).startswith(text)


def test_failed_initialization_changes_nothing():
    p = ready(3)
    with pytest.raises(ValueError):
        p.initialize(init.Xavier(), force_reinit=True)
    assert p.state == "ready" and p.data().tolist() == [1, 1, 1]


def test_again_warns_and_keeps():
    d = nn.Dense(3, in_units=2, prefix="d_")
    d.initialize(init.One())
    with pytest.warns(UserWarning, match="Parameter 'd_weight'.* is already initialized, ignoring. Set force_reinit=True to "
                      "re-initialize."):  # fmt: skip
        d.initialize(init.Zero())
    assert d.weight.data().tolist() == [[1, 1]] * 3


def test_data_is_the_array_itself():
    p = ready(3, 2)
    x = p.data()
    x[0, 0] = 42
    assert p.data() is x and float(p.data()[0, 0]) == 42 and p.grad().tolist() == [[0, 0]] * 3
    given = np.ones((3, 2))
    p.set_data(given)
    given[:] = 3
    assert p.data() is x and x.tolist() == [[1, 1]] * 3


def test_set_data_casts():
    p = ready(3, dtype="float16")
    p.set_data(np.array([1, 2, 3], dtype="float64"))
    assert p.data().dtype == "float16" and p.data().tolist() == [1, 2, 3]


def test_unknown_sizes():
    shapes = [gluon.Parameter("w", shape=s).shape for s in (3, (0, 2), [3, None], None)]
    assert shapes == [(3,), (-1, 2), (3, -1), None]


# ------------------------------------------------------------------------------------------------ 1.6 sharing, constants


def test_constant():
    params = nn.Block(prefix="p_").params
    c = params.get_constant("c", [1, 2])
    assert params.get_constant("c", [1, 2]) is c is params.get_constant("c") and c.grad_req == "null"
    assert c.dtype == "float32" and list(params) == ["p_c"]
    for other in ([2, 2], [1, 2, 3]):
        with pytest.raises(
            AssertionError, match="Constant 'p_c' already exists but it's value doesn't match new value"
        ):
            params.get_constant("c", other)
    with pytest.raises(RuntimeError, match="'p_c' has not been initialized"):
        c.data()
    with pytest.warns(UserWarning) as seen:
        c.grad_req = "write"
    assert str(seen[0].message) == (
        'Constant parameter "p_c" does not support grad_req other than "null", and new value "write" is ignored.'
    )
    params.initialize(init.Zero())
    assert c.data().tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="Cannot get gradient array for Parameter 'p_c' because grad_req='null'"):
        c.grad()


def test_constant_does_not_move():
    class Plus(nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.const = self.params.get_constant("const", onp.array([[1, 2], [3, 4]]))

        def hybrid_forward(self, F, x, const):
            return x + const

    net, x = Plus(), np.ones((2, 2))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1.0, "momentum": 0.5})
    x.attach_grad()
    with autograd.record():
        y = net(x)
    y.backward()
    trainer.step(1)
    assert net.const.data().tolist() == [[1, 2], [3, 4]] and x.grad.tolist() == [[1, 1], [1, 1]]


def test_grad_req():
    p = ready(2)
    p.grad_req = "null"
    assert p.zero_grad() is None
    p.grad_req = "write"
    assert p.grad().tolist() == [0, 0]
    fixed = gluon.Parameter("w", shape=(2,), differentiable=False)
    fixed.grad_req = "write"
    assert fixed.grad_req == "null"


def test_all_at_once():
    params = gluon.ParameterDict("n_")
    params.get("a", shape=(2,)), params.get("b", shape=(1,))
    params.initialize(init.One())
    params.setattr("lr_mult", 3)
    params.load_dict({"n_a": np.ones(2) * 5, "arg:n_b": np.ones(1) * 6})
    assert (
        params["n_a"].lr_mult == 3 and params["n_a"].data().tolist() == [5, 5] and params["n_b"].data().tolist() == [6]
    )


# ------------------------------------------------------------------------------------------------ 1.8 files


class Named(nn.Block):
    def __init__(self, units=3, dtype="float32"):
        super().__init__()
        self.hidden = nn.Dense(units, prefix="h_", dtype=dtype)
        self.output = nn.Dense(2, prefix="o_", dtype=dtype)

    def forward(self, x):
        return self.output(self.hidden(x))


@pytest.fixture
def saved(tmp_path):
    net = Named()
    net.initialize()
    net(np.ones((1, 4)))
    assert net.save_parameters(str(tmp_path / "m.params")) is None
    return str(tmp_path / "m.params")


def test_names_in_the_file(saved, tmp_path):
    assert list(npx.load(saved)) == ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    one = nn.Dense(2, in_units=2, prefix="a_")
    net = chain(one, nn.Dense(2, in_units=2, params=one.params))
    net.initialize()
    net.save_parameters(tmp_path / "two", deduplicate=True)
    assert list(npx.load(tmp_path / "two")) == ["1.weight", "1.bias"]  # the last place of each
    assert net.load_parameters(tmp_path / "two") is None


PLACES = "'hidden.weight', 'hidden.bias', 'output.weight', 'output.bias'"
LOADING = [
    (lambda: chain(nn.Dense(3), nn.Dense(2)), {}, AssertionError,
     "Parameter '0.weight' is missing in file '{}', which contains parameters: " + PLACES + "."),
    (lambda: chain(nn.Dense(3)), {"allow_missing": True}, ValueError,
     "Parameter 'hidden.weight' loaded from file '{}' is not present"),
    (lambda: Named(5), {}, AssertionError, "shape incompatible expected (5, -1) vs saved (3, 4)"),
    (lambda: Named(dtype="float64"), {}, AssertionError,
     "dtype incompatible expected float64 vs saved float32. Set cast_dtype=True to cast the dtype of saved params."),
    (Named, {"cast_dtype": True, "dtype_source": "foo"}, AssertionError, "dtype_source must be"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "options", "error", "text"), LOADING)
def test_what_does_not_fit(saved, make, options, error, text):
    with pytest.raises(error) as problem:
        make().load_parameters(saved, **options)
    assert text.format(saved) in str(problem.value)


@pytest.mark.parametrize(("source", "dtype"), [("current", "float64"), ("saved", "float32")])
def test_loading_casts(saved, source, dtype):
    fresh, old = Named(dtype="float64"), Named(dtype="float64")
    old.initialize()
    old(np.ones((1, 4), dtype="float64"))
    for net in (fresh, old):
        net.load_parameters(saved, cast_dtype=True, dtype_source=source)
        assert net.hidden.weight.data().dtype == net.hidden.weight.dtype == dtype


def test_save_and_load_by_prefix(tmp_path):
    one, two = ready(3, 2), nn.Dense(3, in_units=2)
    two.initialize()
    two.weight.set_data(one.data())
    two.save(str(tmp_path / "net"))
    assert list(npx.load(tmp_path / "net-model.params")) == ["weight", "bias"]
    fresh = nn.Dense(3)
    fresh.load(str(tmp_path / "net"))
    assert fresh.weight.data().tolist() == one.data().tolist()
