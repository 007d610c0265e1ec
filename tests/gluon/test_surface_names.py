"""Names, reprs, dictionaries of parameters and attributes of blocks, text for text as MXNet 1.9.1 gives them."""

import copy
import re
import threading
import warnings

import pytest

from d2lblocks import gluon, init, np, npx
from d2lblocks.gluon import nn

W = "Parameter {} (shape={}, dtype={})".format


def chain(*layers, kind=nn.Sequential, **kwargs):
    net = kind(**kwargs)
    net.add(*layers)
    return net


class Scoped(nn.Block):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.one = nn.Dense(5, in_units=5)
        with self.name_scope():
            self.two = nn.Dense(5, in_units=5)

    def forward(self, x):
        return self.two(self.one(x))


def inside(prefix, make):
    with nn.Block(prefix=prefix).name_scope():
        return make()


# ------------------------------------------------------------------------------------------------ 1.1 names


def test_auto_prefix_is_class_name_and_counter():
    class MLP2(nn.Block):
        pass

    assert [MLP2().prefix, MLP2().prefix, MLP2().name] == ["mlp20_", "mlp21_", "mlp22"]


def test_counters_belong_to_a_thread():
    names = []
    thread = threading.Thread(target=lambda: names.extend([nn.Dense(1).name, nn.Dense(1).name]))
    thread.start()
    thread.join()
    assert names == ["dense0", "dense1"]


def test_without_a_scope_children_count_globally():
    first = int(nn.Dense(1).name[5:])
    net = chain(nn.Dense(1), nn.Dense(1))
    assert list(net.collect_params()) == [f"dense{first + k}_{p}" for k in (1, 2) for p in ("weight", "bias")]


def test_reopened_scope_goes_on_counting_and_parents_come_first():
    net = Scoped(prefix="m_")
    assert list(net.collect_params()) == [f"m_dense{k}_{p}" for k in (0, 1) for p in ("weight", "bias")]
    outer = chain(kind=nn.Sequential)
    assert int(nn.Sequential().name[10:]) == int(outer.name[10:]) + 1


@pytest.mark.parametrize(
    ("block", "prefix", "name"),
    [
        (nn.Block(prefix="abc"), "abc", "abc"),
        (nn.Block(prefix="a__"), "a__", "a_"),
        (inside("p_", lambda: nn.Dense(2, prefix="x_")), "p_x_", "p_x"),
        (inside("p_", lambda: nn.Block(prefix="")), "p_", "p"),
        (copy.deepcopy(nn.Dense(3, prefix="dd_")), "dd_", "dd"),
    ],
)
def test_given_prefix(block, prefix, name):
    assert (block.prefix, block.name) == (prefix, name)


def test_parameters_are_named_at_creation():
    assert nn.Block(prefix="abc").params.get("weight", shape=(1,)).name == "abcweight"


def test_empty_prefix_opens_no_scope():
    with nn.Block(prefix="p_").name_scope():
        with nn.Block(prefix="").name_scope():
            first = nn.Dense(2)
        with nn.Block(prefix="").name_scope():
            second = nn.Dense(2)
    assert (first.prefix, second.prefix) == ("p_dense0_", "p_dense1_")


# ------------------------------------------------------------------------------------------------ 1.2 repr

SEQUENTIAL = """Sequential(
  (0): Dense(-1 -> 256, Activation(relu))
  (1): Dense(-1 -> 10, linear)
)"""
NESTED = """Net(
  (net): Sequential(
    (0): Dense(-1 -> 2, linear)
    (1): Dense(3 -> 3, linear)
  )
  (out): Dense(-1 -> 1, linear)
)"""
DICT = f"""s_ (
  {W("a_weight", "(256, -1)", "float32")}
  {W("a_bias", "(256,)", "float32")}
)"""


class Own(nn.Block):
    def __init__(self):
        super().__init__(prefix="own_")
        self.weight = self.params.get("weight", shape=(5, 3))


class MySequential(nn.Block):
    def __init__(self):
        super().__init__()
        self._children["a"] = nn.Dense(2)


class Net(nn.Block):
    def __init__(self):
        super().__init__()
        self.net = chain(nn.Dense(2), nn.Dense(3, in_units=3))
        self.out = nn.Dense(1)


NORMS = "eps=1e-05, momentum=0.9, fix_gamma=False, use_global_stats=False, in_channels="
REPRS = [
    (chain(nn.Dense(256, activation="relu"), nn.Dense(10)), SEQUENTIAL),
    (chain(nn.Dense(2), kind=nn.HybridSequential), "HybridSequential(\n  (0): Dense(-1 -> 2, linear)\n)"),
    (chain(), "Sequential(\n\n)"),
    (Net(), NESTED),
    (Own(), "Own(\n\n)"),
    (MySequential(), "MySequential(\n\n)"),
    (chain(nn.Dense(256, prefix="a_"), prefix="s_").collect_params(), DICT),
    (Own().collect_params(), "own_ (\n  " + W("own_weight", (5, 3), "<class 'numpy.float32'>") + "\n)"),
    (gluon.ParameterDict("x_"), "x_ (\n\n)"),
    (gluon.ParameterDict(), "(\n\n)"),
    (gluon.Constant("p_c", [[1, 2], [3, 4]]), "Constant p_c (shape=(2, 2), dtype=float32)"),
    (nn.Dropout(0.5), "Dropout(p = 0.5, axes=())"),
    (nn.Flatten(), "Flatten"),
    (nn.Activation("tanh"), "Activation(tanh)"),
    (nn.Embedding(3, 4), "Embedding(3 -> 4, float32)"),
    (nn.Lambda(npx.relu), "Lambda(relu)"),
    (nn.HybridLambda(lambda F, x: x), "HybridLambda(<lambda>)"),
    (nn.BatchNorm(), f"BatchNorm(axis=1, {NORMS}-1)"),
    (nn.BatchNorm(in_channels=4), f"BatchNorm(axis=1, {NORMS}4)"),
    (nn.LayerNorm(), "LayerNorm(eps=1e-05, axis=-1, center=True, scale=True, in_channels=-1)"),
    (gluon.loss.L2Loss(), "L2Loss(batch_axis=0, w=1.0)"),
    (gluon.loss.SoftmaxCELoss(), "SoftmaxCrossEntropyLoss(batch_axis=0, w=None)"),
    (npx.cpu(), "cpu(0)"),
    (npx.gpu(1), "gpu(1)"),
]


@pytest.mark.parametrize(("thing", "text"), REPRS, ids=lambda v: v.split("(")[0] if isinstance(v, str) else "")
def test_repr(thing, text):
    assert repr(thing) == text == str(thing)


def test_bound_method_shows_the_net():
    net = chain(nn.Dense(10))
    assert repr(net.collect_params) == f"<bound method Block.collect_params of {net!r}>"


def test_cast_dtype_prints_as_given():
    net = Own()
    net.cast("float64")
    assert repr(net.weight) == W("own_weight", (5, 3), "float64")
    assert re.fullmatch(r"<d2lblocks.initializer.One object at 0x\w+>", repr(init.One()))


# ------------------------------------------------------------------------------------------------ 1.3 dictionaries


def test_params_are_own_and_collect_params_all():
    net = Scoped(prefix="m_")
    net.extra = net.params.get("extra", shape=(1,))
    assert list(net.params) == ["m_extra"]
    assert [name[2:] for name in net.collect_params()] == [
        "extra", "dense0_weight", "dense0_bias", "dense1_weight", "dense1_bias",
    ]  # fmt: skip
    assert net.collect_params() is not net.collect_params()
    assert net.collect_params()["m_extra"] is net.extra


@pytest.mark.parametrize(
    ("select", "names"),
    [
        ("weight", []),
        (".*weight", ["a_weight", "b_weight"]),
        ("a", ["a_weight", "a_bias"]),
        ("a_weight|b_bias", ["a_weight", "b_bias"]),
        ("nothing", []),
    ],
)
def test_select(select, names):
    net = chain(nn.Dense(2, prefix="a_"), nn.Dense(2, prefix="b_"))
    assert list(net.collect_params(select).keys()) == names


def test_parameter_dict_as_a_dict():
    found = nn.Dense(2, prefix="d_").collect_params()
    assert list(found) == list(found.keys()) == ["d_weight", "d_bias"] and "d_weight" in found
    assert [p for _, p in found.items()] == list(found.values())
    for name, told in (("nope", "'d_bias'"), ("d_weigth", "Did you mean 'd_weight'")):
        with pytest.raises(KeyError) as missing:
            found[name]
        assert missing.value.args[0].startswith(f"'{name}'") and told in missing.value.args[0]
    with pytest.raises(TypeError, match="has no len"):
        len(found)


def test_get_fills_in_what_was_unknown():
    params = gluon.ParameterDict("p_")
    w = params.get("w", shape=(2, -1), init=init.Zero())
    assert params.get("w", shape=(2, 3)) is w and w.shape == (2, 3)
    assert params.get("w", init=init.One()) is w and w.init == init.Zero()  # a new init is ignored


REFUSED = [
    ({"shape": (5, 3)}, "shape", "(5, 3)", "(2, 3)"),
    ({"dtype": "float64"}, "dtype", "float64", "float32"),
    ({"grad_req": "null"}, "grad_req", "null", "write"),
]


@pytest.mark.parametrize(("wanted", "key", "desired", "stored"), REFUSED)
def test_get_refuses_other_attributes(wanted, key, desired, stored):
    params = gluon.ParameterDict("p_")
    params.get("w", shape=(2, 3))
    with pytest.raises(AssertionError) as problem:
        params.get("w", **wanted)
    assert str(problem.value) == (
        "Cannot retrieve Parameter 'p_w' because desired attribute does not match with stored for attribute "
        f"'{key}': desired '{desired}' vs stored '{stored}'."
    )


def test_get_and_update_refuse():
    one, two = gluon.ParameterDict("p_"), gluon.ParameterDict("p_")
    with pytest.raises(TypeError):
        one.get("w", foo=1)
    one.get("w", shape=(2,)), two.get("w", shape=(2,))
    with pytest.raises(AssertionError, match="different Parameters have the same name 'p_w'"):
        one.update(two)


def test_parameter_not_from_get_is_saved_but_not_collected():
    class Loose(nn.Block):
        def __init__(self):
            super().__init__()
            self.w = gluon.Parameter("w", shape=(2,))

    assert list(Loose().collect_params()) == [] and list(Loose()._collect_params_with_prefix()) == ["w"]


def test_shared_parameters_have_one_name_and_two_places():
    one = nn.Dense(2, in_units=2, prefix="a_")
    net = chain(one, nn.Dense(2, in_units=2, params=one.params, prefix="b_"))
    assert list(net.collect_params()) == ["a_weight", "a_bias"] and net[1].prefix == "b_"
    assert list(net._collect_params_with_prefix()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_whole_nets_share():
    one = Scoped(prefix="one_")
    two = Scoped(prefix="two_", params=one.collect_params())
    assert two.two.weight is one.two.weight and two.two.name == "two_dense1"
    assert repr(two.collect_params()) == repr(one.collect_params())


# ------------------------------------------------------------------------------------------------ 1.4 attributes


def test_kind_of_an_attribute_stays():
    net = Net()
    with pytest.raises(TypeError) as problem:
        net.out = 3
    assert str(problem.value).startswith("Changing attribute type for out from Dense to int is not allowed")
    own = Own()
    with pytest.raises(TypeError, match="weight is the Parameter own_weight and stays one.*set_data"):
        own.weight = 3
    with pytest.raises(AssertionError, match="Overriding Parameter attribute weight is not allowed. If you want to share "
                       "parameters between blocks, please set 'params' at Block construction instead."):  # fmt: skip
        own.weight = gluon.Parameter("w")
    net.free = None
    net.free = 1
    net.out = other = nn.Flatten()
    assert net._children["out"] is other and list(net._children) == ["net", "out"]


def test_child_before_super():
    class Hasty(nn.Block):
        def __init__(self):
            self.a = nn.Dense(2)

    with pytest.raises(AttributeError, match=r"Hasty.*super\(\).__init__\(\)"):
        Hasty()


@pytest.mark.parametrize(
    "held", [[nn.Dense(2)], (nn.Dense(2),), {"a": nn.Dense(2)}, {"a": [nn.Dense(2)]}, [[nn.Dense(2)]]], ids=str
)
def test_unregistered_container(held):
    net = nn.Block()
    net.layers = held
    text = (
        '"Block.layers" is an unregistered container with Blocks. Note that Blocks inside the list, tuple or dict will '
        "not be registered automatically. Make sure to register them using register_child() or switching to "
        "nn.Sequential/nn.HybridSequential instead."
    )
    with pytest.warns(UserWarning) as seen:
        net.collect_params()
    assert [str(w.message) for w in seen] == [text]


@pytest.mark.parametrize("held", [{"a": "4", "b": 123}, [1, 2], "text", []])
def test_containers_without_blocks(held):
    net = nn.Block()
    net.data = held
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(net.collect_params()) == []


def test_registered_container():
    net = nn.Block()
    net.layers = [nn.Dense(2), nn.Dense(3)]
    for layer in net.layers:
        net.register_child(layer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(net.collect_params())) == 4 and list(net._children) == ["0", "1"]


@pytest.mark.parametrize("kind", [nn.Sequential, nn.HybridSequential])
def test_sequential_as_a_list(kind):
    layers = [nn.Dense(1), nn.Dense(2), nn.Dense(3)]
    net = chain(*layers, kind=kind, prefix="s_")
    part = net[1:]
    assert len(net) == 3 and list(net) == layers and net[-1] is layers[-1]
    assert (
        type(part) is kind and part.prefix == "s_" and list(part) == layers[1:] and list(part._children) == ["0", "1"]
    )
    with pytest.raises(IndexError, match="3 layers"):
        net[5]


def test_hybrid_children():
    block = Own()
    with pytest.raises(ValueError) as problem:
        nn.HybridSequential().add(block)
    assert str(problem.value).startswith(
        "Children of HybridBlock must also be HybridBlock, but own (Own) is none. "
        "If you are using Sequential, please try HybridSequential instead"
    )


@pytest.mark.parametrize("call", [nn.Block().forward, nn.Block(), nn.HybridBlock()])
def test_no_forward(call):
    with pytest.raises(NotImplementedError, match="Block has n"):
        call(np.ones(1))


@pytest.mark.parametrize(
    "kind", [nn.Dense, nn.Dropout, gluon.loss.L2Loss, nn.Sequential, nn.Flatten], ids=lambda k: k.__name__
)
def test_unknown_keyword(kind):
    with pytest.raises(TypeError, match=rf"{kind.__name__}.*\(\) got an unexpected keyword argument 'foo'"):
        kind(*[1] * (kind in (nn.Dense, nn.Dropout)), foo=1)


def test_prefix_is_text():
    with pytest.raises(TypeError, match="Flatten: prefix must be text"):
        nn.Flatten(3)
