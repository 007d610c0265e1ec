"""Bad input when nets are built, initialized and copied."""

import numpy as onp
import pytest

from d2lblocks import gluon, init, np, npx
from d2lblocks.gluon import nn
from tests.errors.rows import check_table, covers, net_of, refused

X = np.ones((2, 3))
BASES = (nn.Block, nn.HybridBlock)


def made(base, text, name="Net", call=True):
    """Return (an instance of) a class with this body."""
    scope = {"base": base, "nn": nn, "gluon": gluon}
    body = "\n".join("    " + line for line in text.split("\n"))
    exec(f"class {name}(base):\n{body}", scope)
    return scope[name]() if call else scope[name]


INIT = "def __init__(self):\n    "
EMPTY = INIT + "pass\ndef forward(self, x): return x"
FORGOTTEN = [
    INIT + "self.layer = nn.Dense(2)",
    INIT + "super().__init__\n    self.layer = nn.Dense(2)",
    INIT + "self.layer = nn.Dense(2)\n    super().__init__()",
    INIT + "self.w = gluon.Parameter('w', shape=2)",
    INIT + "self.w = self.params.get('w', shape=2)",
    INIT + "self.register_child(nn.Dense(2))",
    INIT + "with self.name_scope(): pass",
]
USES = [
    lambda b: b(X), lambda b: b.collect_params(), lambda b: b.initialize(), repr, lambda b: b.prefix, lambda b: b.params,
    lambda b: b.save_parameters("nowhere"), lambda b: b.load_parameters("nowhere"), lambda b: b.hybridize(),
    lambda b: b.apply(print), lambda b: b.cast("float64"), lambda b: b.summary(X), lambda b: b.register_forward_hook(print),
    lambda b: b._repr_html_(), lambda b: net_of(b), lambda b: delattr(b, "x"), lambda b: b._collect_params_with_prefix(),
]  # fmt: skip


def adding(kind, thing):
    def action():
        net = kind()
        net.add(nn.Dense(1))
        try:
            net.add(nn.Dense(2), thing)
        finally:
            assert len(net) == 1

    return action


def into_itself(depth, kind=nn.Sequential):
    def action():
        outermost = innermost = kind()
        for _ in range(depth):
            outer = kind()
            outer.add(outermost)
            outermost = outer
        try:
            innermost.add(outermost)
        finally:
            assert len(innermost) == 0

    return action


def into_itself_by_attribute():
    outer, inner = nn.Block(), nn.Block()
    outer.child = inner
    try:
        inner.child = outer
    finally:
        assert not inner._children and "child" not in inner.__dict__


def replaced(name, value):
    def action():
        layer = nn.Dense(2, in_units=2)
        before = layer.__dict__[name]
        try:
            setattr(layer, name, value)
        finally:
            assert layer.__dict__[name] is before and layer._reg_params[name] is before

    return action


def child_becomes(value):
    def action():
        block = nn.Block()
        block.layer = layer = nn.Dense(2)
        try:
            block.layer = value
        finally:
            assert block.layer is layer and block._children == {"layer": layer}

    return action


def got_twice(first, second):
    def action():
        params = gluon.ParameterDict("p_")
        p = params.get("w", **first)
        before = p.shape, p.dtype, p.grad_req
        try:
            params.get("w", **second)
        finally:
            assert (p.shape, p.dtype, p.grad_req) == before and params["p_w"] is p

    return action


def initializing(init=None, ctx=None, in_units=3, **layer):
    """Initialize a net, and run it if it is deferred; all parameters are as before if it fails."""

    def action():
        net = net_of(
            nn.Dense(2, in_units=3, prefix="a_"), nn.Dense(1, in_units=in_units - 1, prefix="b_", **layer), ready=False
        )
        try:
            net.initialize(init, ctx)
        except BaseException:
            assert {p.state for p in net.collect_params().values()} == {"new"}
            raise
        try:
            net(X)
        finally:
            assert net[1].weight.state == "waiting" and net[1].weight.shape == (1, -1)

    return action


class Lacking(init.Initializer):
    pass


class Filling(init.Initializer):
    def __init__(self, fill):
        super().__init__()
        self.fill = fill

    def _init_weight(self, name, data):
        self.fill(data)


LAYERS = (nn.Flatten, nn.Sequential, nn.HybridSequential, nn.Block, nn.HybridBlock, nn.BatchNorm, nn.LayerNorm,
          gluon.loss.L2Loss, gluon.loss.SoftmaxCrossEntropyLoss)  # fmt: skip
TABLE = [
    *(("B1", lambda b=b, t=t: made(b, t), kind, "super().__init__()", "Net")
      for b in BASES for t in FORGOTTEN for kind in (RuntimeError, AttributeError)),
    *(("B1", lambda b=b, u=u: u(made(b, EMPTY)), RuntimeError, "super().__init__()", "Net")
      for b in (*BASES, nn.Sequential) for u in USES),
    ("B1", lambda: made(nn.HybridBlock, INIT + "pass\ndef hybrid_forward(self, F, x): return x").forward(X), RuntimeError,
     "super().__init__()", "Net"),
    ("B2", lambda: nn.Block()(X), NotImplementedError, "Block", "forward"),
    ("B2", lambda: nn.HybridBlock()(X), NotImplementedError, "HybridBlock", "forward"),
    ("B2", lambda: net_of(made(nn.Block, "def forwrad(self, x): return x"))(X), NotImplementedError, "Net", "forward"),
    *(("B4", adding(kind, thing), TypeError, *words) for kind in (nn.Sequential, nn.HybridSequential) for thing, *words in (
        (npx.relu, "function", "'relu'", "nn.Lambda"), (len, "function", "'len'"), (nn.Dense, "class", "Dense(...)"),
        ([nn.Dense(1)], "list", "add(*layers)"), ((nn.Dense(1),), "tuple", "add(*layers)"), (None, "None"), (3, "3"),
        ("relu", "'relu'"), (init.Normal(), "Normal"), (onp.ones((9, 9)), "numpy.ndarray"))),
    ("B4", adding(nn.HybridSequential, nn.Block()), TypeError, "Block", "HybridSequential"),
    ("B4", lambda: nn.Block().register_child(3), TypeError, "3"),
    *(("B5", lambda k=k: k(nn.Dense(1), nn.Dense(2)), TypeError, k.__name__, "add")
      for k in (nn.Sequential, nn.HybridSequential)),
    *(("B8", into_itself(depth), ValueError, "contains itself") for depth in (0, 1, 2, 50)),
    ("B8", into_itself(1, nn.HybridSequential), ValueError, "contains itself"),
    ("B8", into_itself_by_attribute, ValueError, "contains itself"),
    *(("B10", f, kind, "a_weight", "prefix") for kind in (ValueError, AssertionError) for f in (
        lambda: net_of(nn.Dense(2, prefix="a_"), nn.Dense(2, prefix="a_"), ready=False).collect_params(),
        lambda: net_of(nn.Dense(2, prefix="a_"), nn.Dense(2, prefix="a_")))),
    *(("B11", lambda n=n, v=v: setattr(nn.Block(), n, v), AttributeError, "reserved", n)
      for n in ("params", "name", "prefix", "collect_params", "forward", "initialize", "apply", "cast", "_children")
      for v in (3, nn.Dense(1))),
    *(("B12", replaced(n, v), TypeError, "set_data", n)
      for n in ("weight", "bias") for v in (X, onp.ones(2), 3, None, nn.Dense(1))),
    ("B12", replaced("weight", gluon.Parameter("w")), ValueError, "weight", "params"),
    *(("B13", child_becomes(v), TypeError, "layer", "Dense", "del") for v in (3, X, npx.relu, gluon.Parameter("w"))),
    *(("B14", got_twice(a, b), kind, *words) for kind in (AssertionError, ValueError) for a, b, *words in (
        ({"shape": (2, 3)}, {"shape": (5, 3)}, "p_w", "(5, 3)", "(2, 3)"),
        ({"shape": (2,)}, {"shape": (2, 3)}, "(2,)", "(2, 3)"),
        ({"shape": (2, 3)}, {"shape": (2, 3), "grad_req": "add"}, "add", "write"))),
    ("B14", got_twice({"shape": 2}, {"dtype": "float64"}), AssertionError, "'float64'", "'float32'"),
    ("B14", got_twice({"shape": 2}, {"shape": 2, "initt": "zeros"}), TypeError, "'initt'"),
    ("B14", lambda: gluon.Parameter("w", shape=(2.5, 3)), TypeError, "2.5"),
    ("B14", lambda: gluon.Parameter("w", shape="ab"), TypeError, "'ab'"),
    *(("B16", lambda a=a: nn.Dense(*a), kind, "Dense", "units", word) for a, kind, word in (
        ((0,), ValueError, "0"), ((-3,), ValueError, "-3"), ((2.5,), TypeError, "2.5"), (("4",), TypeError, "'4'"),
        ((None,), TypeError, "None"), ((True,), TypeError, "True"))),
    ("B16", lambda: nn.Dense(2, in_units=-1), ValueError, "in_units", "-1"),
    ("B16", lambda: nn.Dense(2, in_units="a"), TypeError, "in_units", "'a'"),
    ("B16", lambda: nn.Dense(2, dtype="int16"), TypeError, "int16", "float32"),
    ("B16", lambda: nn.Embedding(0, 2), ValueError, "input_dim"),
    ("B16", lambda: nn.Dropout(2), ValueError, "rate", "2"),
    *(("B17", lambda a=a: nn.Dense(2, activation=a), ValueError, repr(a), "relu", "sigmoid", "tanh") for a in ("foo", 3, "")),
    ("B17", lambda: nn.Activation("foo"), ValueError, "foo", "relu"),
    ("B17", lambda: nn.Lambda("nosuch"), ValueError, "nosuch"),
    *(("B18", lambda c=c: c(unit=3), TypeError, c.__name__, "'unit'") for c in LAYERS),
    ("B18", lambda: nn.Dense(2, unit=3), TypeError, "Dense", "'unit'"),
    ("B18", lambda: made(nn.Block, "pass", call=False)(unit=3), TypeError, "Net()", "'unit'"),
    ("B18", lambda: nn.Dense(2, prefix=3), TypeError, "Dense", "prefix", "int"),
    ("B19", lambda: nn.Dense(2, params=nn.Dense(2)), TypeError, "block.params"),
    ("B19", lambda: nn.Dense(2, params={}), TypeError, "ParameterDict", "dict"),
    ("B19", lambda: nn.Dense(2, params=nn.Dense(3).params), ValueError, "(2, -1)", "(3, -1)"),
    *(("B21", lambda b=b: b[0], TypeError, type(b).__name__) for b in (nn.Block(), nn.HybridBlock(), nn.Dense(2))),
    ("B21", lambda: net_of(nn.Dense(1))[5], IndexError, "Sequential has 1 layers", "[5]"),
    *(("B22", lambda p=p: net_of(nn.Dense(1)).collect_params(p), ValueError, repr(p)) for p in ("(", "*", "[", 3)),
    ("B25", initializing("nosuch"), ValueError, "nosuch", "xavier", "normal"),
    ("B25", initializing(init.Normal), TypeError, "Normal()"),
    ("B25", initializing(nn.Dense), TypeError, "Dense", "init.Normal()"),
    *(("B25", initializing(v), TypeError, repr(v), "init.Normal()") for v in (3, [])),
    ("B25", initializing("[bad"), ValueError, "[bad"),
    ("B25", initializing(weight_initializer="nosuch"), ValueError, "b_weight", "nosuch"),
    ("B25", initializing(weight_initializer=init.Normal), TypeError, "b_weight", "Normal()"),
    *(("B25", initializing(ctx=v), TypeError, "npx.cpu()", word) for v, word in (("cpu", "str"), (3, "int"))),
    *(("B26", initializing(weight_initializer=i, in_units=n), kind, "b_weight", word) for n in (3, 1) for i, kind, word in (
        (Filling(lambda d: d.__setitem__(slice(None), np.ones(99))), ValueError, "(99,)"),
        (Filling(lambda d: d.__setitem__(0, "a")), TypeError, "'a'"),
        (Lacking(), NotImplementedError, "_init_weight"), (nn.Dense(2), TypeError, "b_weight"))),
    ("B27", initializing(ctx=npx.gpu()), RuntimeError, "no GPU support", "npx.cpu()"),
    ("B27", initializing(ctx=[npx.cpu(), npx.gpu()]), RuntimeError, "no GPU support"),
    *(("B27", lambda f=f: f(npx.gpu()), RuntimeError, "no GPU support") for f in (
        lambda g: np.ones(2, ctx=g), lambda g: np.array([1], ctx=g), X.as_in_ctx, X.copyto, lambda g: g.__enter__(),
        lambda g: np.random.uniform(size=2, ctx=g), lambda g: np.random.normal(size=2, ctx=g),
        lambda g: gluon.utils.split_and_load(X, [g]), lambda g: net_of(nn.Dense(1, in_units=1)).collect_params().reset_ctx(g))),
]  # fmt: skip


@check_table(TABLE)
def test_refused(case):
    refused(*case[1:])


def warned(match, action):
    """Check that the action warns once, at a line of this file."""
    with pytest.warns(UserWarning, match=match) as caught:
        result = action()
    assert [w.filename for w in caught] == [__file__]
    return result


@covers("B3")
@pytest.mark.parametrize("base, head", [(nn.Block, "forward(self, x)"), (nn.HybridBlock, "hybrid_forward(self, F, x)")])
def test_forward_without_return(base, head):
    block = made(base, f"def {head}:\n    x + 1")
    assert warned("Net.forward returned None", lambda: block(X)) is None
    warned("Net.forward returned None", lambda: net_of(net_of(nn.Dense(2), block, ready=False))(X))
    with (
        pytest.warns(UserWarning),
        pytest.raises(TypeError, match=r"net\[1\] \(Dense\): the input is None(.|\n)*return"),
    ):
        net_of(block, nn.Dense(2))(X)


@covers("B6")
def test_add_gives_nothing_back():
    net = nn.Sequential()
    assert net.add(nn.Dense(1)) is None
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'add'"):
        net.add(nn.Dense(1)).add(nn.Dense(1))
    assert len(net) == 2


@covers("B7")
@pytest.mark.parametrize(
    "held", ["[nn.Dense(2)]", "(nn.Dense(2),)", "{1: nn.Dense(2)}", "{nn.Dense(2)}", "[[nn.Dense(2)]]"]
)
@pytest.mark.parametrize("name", ["layers", "_layers"])
def test_unregistered_container(held, name):
    net = made(nn.Block, INIT + f"super().__init__()\n    self.{name} = {held}")
    for action in (
        net.collect_params,
        net.initialize,
        lambda: net_of(net, ready=False).initialize(),
    ):
        warned("register_child.*Sequential", action)
    params = warned("register_child.*Sequential", net.collect_params)
    warned("no parameters to move.*net.params", lambda: gluon.Trainer(params, "sgd"))


@covers("B9")
def test_same_block_twice_is_shared():
    layer = nn.Dense(3)
    net = net_of(layer, layer)
    assert list(net._collect_params_with_prefix()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert len(list(net.collect_params())) == 2 and net(X).shape == (2, 3)


@covers("B13")
def test_child_replaced_and_deleted():
    block = nn.Block()
    block.layer, block.layer = nn.Dense(2), nn.Dense(3)
    assert list(block._children.values()) == [block.layer] and len(list(block.collect_params())) == 2
    block.layer = None
    assert not block._children and not list(block.collect_params())
    block.layer = nn.Dense(2)
    del block.layer
    assert not block._children and not hasattr(block, "layer")


@covers("B14")
def test_sizes_that_only_one_side_knows():
    params = gluon.ParameterDict("p_")
    params.get("w", shape=(2, -1), dtype=onp.float32)
    assert params.get("w", shape=(2, 3), dtype="float32").shape == (2, 3)


@covers("B15")
def test_parameter_on_no_attribute_is_not_saved(tmp_path):
    block = nn.Block(prefix="b_")
    block.params.get("w", shape=(2,))
    block.initialize()
    warned("b_w is trained but not saved", lambda: block.save_parameters(tmp_path / "f"))


@covers("B16")
def test_numbers_of_official_numpy_are_sizes():
    assert nn.Dense(onp.int64(4), in_units=onp.int32(3)).weight.shape == (4, 3)


@covers("B20")
@pytest.mark.parametrize("inner", [lambda net: net, lambda net: net[0]])
def test_layer_added_after_initialize(inner):
    net = net_of(net_of(nn.Dense(2), ready=False))
    inner(net).add(nn.Dense(3))
    refused(lambda: net(X), RuntimeError, "_weight", "not been initialized", "initialize() again")
    with pytest.warns(UserWarning, match="already initialized"):
        net.initialize()
    assert net(X).shape == (2, 3)


@covers("B22")
def test_no_match_is_an_empty_dict():
    assert list(net_of(nn.Dense(1)).collect_params("nosuch")) == []
    with pytest.raises(KeyError, match="nosuch.*a_weight"):
        nn.Dense(1, prefix="a_").collect_params()["nosuch"]


@covers("B24")
def test_initialize_twice_warns_once_per_net():
    net = net_of(nn.Dense(2, in_units=3), nn.Dense(2, in_units=2))
    before = net[0].weight.data().tolist()
    warned("already initialized.*force_reinit=True", net.initialize)
    assert net[0].weight.data().tolist() == before
    net.initialize(force_reinit=True)
    assert net[0].weight.data().tolist() != before


@covers("B26")
def test_initializer_that_rebinds_its_argument_warns():
    def rebind(data):
        data = data + 1  # noqa: F841 - the mistake under test

    warned(
        r"Filling.*p_weight.*data\[:\] =",
        nn.Dense(2, in_units=2, prefix="p_", weight_initializer=Filling(rebind)).initialize,
    )


@covers("B26")
def test_error_of_the_initializer_itself_names_the_parameter():
    with pytest.raises(ZeroDivisionError) as caught:
        nn.Dense(2, in_units=2, prefix="p_", weight_initializer=Filling(lambda data: 1 / 0)).initialize()
    assert "p_weight" in caught.value.__notes__[0]


@covers("B26")
def test_force_reinit_that_fails_keeps_the_numbers():
    net = net_of(nn.Dense(2, in_units=3), nn.Dense(2, in_units=2))
    before = [p.data() for p in net.collect_params().values()]
    with pytest.raises(NotImplementedError):
        net.initialize(Lacking(), force_reinit=True)
    assert all(p.data() is data for p, data in zip(net.collect_params().values(), before, strict=True))
