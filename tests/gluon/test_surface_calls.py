"""Calls, hooks, summaries, casts and sizes told by use, as MXNet 1.9.1 has them."""

import copy
import pickle
import re
from itertools import count

import numpy as onp
import pytest

from d2lblocks import autograd, init, np
from d2lblocks.errors import DeferredInitializationError, MXNetError
from d2lblocks.gluon import hooks, nn
from tests.gluon.test_surface_names import chain


def ready(layer, how=None):
    layer.initialize(how or init.One())
    return layer


# ------------------------------------------------------------------------------------------------ 1.9 calls and hooks


def test_hooks_get_tuples():
    layer, seen = ready(nn.Dense(2, in_units=3)), []
    layer.register_forward_pre_hook(lambda *given: seen.append(given))
    handle = layer.register_forward_hook(lambda *given: seen.append(given))
    x = np.ones((2, 3))
    y = layer(x)
    assert seen == [(layer, (x,)), (layer, (x,), y)]
    handle.detach()
    layer(x)
    assert len(seen) == 3
    with layer.register_forward_hook(lambda *given: seen.append(given)):
        layer(x)
    layer(x)
    assert len(seen) == 6


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_hook_may_take_itself_off_and_others_on(hybrid):
    layer, heard = ready(nn.Dense(2, in_units=3)), []
    layer.hybridize(hybrid)
    x = np.ones((2, 3))
    layer(x)
    layer(x)

    def first(*given):
        heard.append("first")
        handle.detach()
        layer.register_forward_hook(lambda *given: heard.append("third"))

    handle = layer.register_forward_hook(first)
    layer.register_forward_hook(lambda *given: heard.append("second"))
    for _ in range(2):
        layer(x)
        heard.append("|")
    assert heard == ["first", "second", "|", "second", "third", "|"]


def note(layer, inputs, out):
    layer.heard.append(out.shape)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_a_copied_block_has_hooks_and_handles_of_its_own(copied):
    layer = ready(nn.Dense(2, in_units=3))
    layer.heard, layer.handle = [], layer.register_forward_hook(note)
    twin, x = copied(layer), np.ones((2, 3))
    twin(x)
    twin.handle.detach()
    twin(x)
    layer(x)
    assert twin.heard == layer.heard == [(2, 2)]


def test_a_hook_from_a_file_is_not_replaced_by_a_new_one(monkeypatch):
    layer = ready(nn.Dense(2, in_units=3))
    layer.heard = []
    monkeypatch.setattr(hooks, "_ids", count())
    layer.register_forward_hook(note)
    loaded = pickle.loads(pickle.dumps(layer))
    monkeypatch.setattr(hooks, "_ids", count())  # a new process
    loaded.register_forward_hook(note)
    loaded(np.ones((1, 3)))
    assert loaded.heard == [(1, 2)] * 2


def test_hooks_that_are_deleted_are_called_no_more():
    layer = ready(nn.Dense(2, in_units=3))
    layer.heard = []
    for _ in range(3):
        layer.register_forward_hook(note)
    del layer._forward_hooks[list(layer._forward_hooks)[-1]]
    layer(np.ones((1, 3)))
    layer._forward_hooks.clear()
    layer(np.ones((1, 3)))
    assert layer.heard == [(1, 2)] * 2


def test_apply_and_what_gives_none(tmp_path):
    net, names = chain(nn.Dense(1, prefix="a_"), nn.Dense(1, prefix="b_"), kind=nn.HybridSequential, prefix="s_"), []
    assert net.apply(lambda block: names.append(block.name)) is net and names == ["a", "b", "s"]
    assert net.initialize() is net.hybridize() is net.cast("float32") is None


@pytest.mark.parametrize(
    ("layers", "warned"), [((nn.Dense(1), nn.Flatten()), True), ((), False), ((nn.Block(),), False)]
)
def test_sequential_hybridize_warns(layers, warned, recwarn):
    chain(*layers, prefix="sequential3_").hybridize()
    text = (
        "All children of this Sequential layer 'sequential3_' are HybridBlocks. "
        "Consider using HybridSequential for the best performance."
    )
    assert [str(w.message) for w in recwarn] == [text] * warned


def test_hybrid_forward_gets_operations_and_parameters_by_attribute():
    class Scale(nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.w = self.params.get("weight", shape=(2,))

        def hybrid_forward(self, F, x, y=None, w=None):
            return (F.np.exp(x) if y is None else y) * F.npx.relu(w)

    net = ready(Scale())
    assert net(np.zeros(2)).tolist() == [1, 1] and net(np.zeros(2), 3).tolist() == [3, 3]
    net.hybridize()
    assert net(np.zeros(2), np.ones(2) * 2).tolist() == [2, 2]


def test_nested_inputs_and_outputs():
    class Pair(nn.HybridBlock):
        def hybrid_forward(self, F, x, y):
            return x[0] + x[1][0], [y]

    a, b = np.ones(2), np.ones(2) * 2
    total, rest = Pair()([a, [b]], b)
    assert total.tolist() == [3, 3] and rest == [b]
    for refused in ([a, b], [], [1.0], (onp.ones(2),)):
        with pytest.raises(TypeError, match=r"net \(Dense\): the input is an? [\w.]+, expected an array"):
            ready(nn.Dense(2))(refused)


DENSE = [
    ({}, (2, 3, 4), (2, 2), (2, 12)),
    ({"flatten": False}, (2, 3, 4), (2, 3, 2), (2, 4)),
    ({}, (3,), (3, 2), (2, 1)),
    ({"flatten": False}, (3,), (2,), (2, 3)),
]


@pytest.mark.parametrize(("options", "x", "y", "weight"), DENSE)
def test_dense_shapes(options, x, y, weight):
    layer = ready(nn.Dense(2, **options))
    assert layer(np.ones(x)).shape == y and layer.weight.shape == weight


def test_dense_refuses():
    with pytest.raises(MXNetError, match=r"int32.*float32.*astype"):
        ready(nn.Dense(2, in_units=3))(np.ones((2, 3), dtype="int32"))
    known = r"\{'relu', 'sigmoid', 'softrelu', 'softsign', 'tanh'\}"
    with pytest.raises(MXNetError, match="Invalid Input: 'foo', valid values are: " + known):
        nn.Dense(2, activation="foo")
    with pytest.raises(MXNetError, match=r"3 features.*\(3, 7\)"):
        ready(nn.Dense(2, in_units=3))(np.ones((3, 7)))


def test_activation_is_a_child():
    layer = nn.Dense(2, activation="relu", prefix="dense0_")
    assert (
        layer.act.name == "dense0_relu"
        and list(layer.act.collect_params()) == []
        and layer._children["act"] is layer.act
    )


def test_cast():
    layer = ready(nn.Dense(2, in_units=2))
    layer.cast("float16")
    assert layer.weight.dtype == "float16" == layer.weight.data().dtype == layer.weight.grad().dtype
    with pytest.raises(MXNetError, match="float32.*float16"):
        layer(np.ones((2, 2)))


def test_embedding_touches_its_rows():
    layer = ready(nn.Embedding(10, 4))
    with autograd.record():
        y = layer(np.array([3, 4, 2, 0, 1]))
    y.backward()
    assert (layer.weight.grad()[:5] == 1).all() and (layer.weight.grad()[5:] == 0).all()


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm(center=False, in_channels=2), nn.LayerNorm(center=False, in_channels=2)]
)
def test_what_is_not_learned_stays_so(layer):
    layer.collect_params().setattr("grad_req", "write")
    learned = [p.name.rpartition("_")[2] for p in layer.collect_params().values() if p.grad_req != "null"]
    assert learned == ["gamma"]


def test_added_and_replaced_children_take_part():
    net = ready(chain(nn.Dense(10, flatten=False), kind=nn.HybridSequential))
    net.hybridize()
    net(np.ones((2, 3, 5)))
    net.add(nn.Flatten())
    assert net(np.ones((2, 3, 5))).shape == (2, 30)


def test_export():
    with pytest.raises(RuntimeError, match=re.escape("Please first call block.hybridize() and then run forward with this "
                       "block at least once before calling export.")):  # fmt: skip
        ready(nn.Dense(2, in_units=2)).export("net")
    assert not hasattr(nn.Sequential(), "export")


# ------------------------------------------------------------------------------------------------ summary


def table(rows, total, trainable, shared, unique):
    return "\n".join([
        "-" * 80,
        "        Layer (type)                                Output Shape         Param #",
        "=" * 80,
        *rows,
        "=" * 80,
        "Parameters in forward computation graph, duplicate included",
        f"   Total params: {total}",
        f"   Trainable params: {trainable}",
        f"   Non-trainable params: {total - trainable}",
        f"Shared params in forward computation graph: {shared}",
        f"Unique parameters in model: {unique}",
        "-" * 80,
        "",
    ])  # fmt: skip


class Tied(nn.Block):
    def __init__(self):
        super().__init__()
        self.a = nn.Dense(4, in_units=4)
        self.b = nn.Dense(4, in_units=4, params=self.a.params)
        self.w, self.c = self.params.get("w", shape=(4,)), self.params.get_constant("c", [1, 2, 3])

    def forward(self, x, y):
        return self.b(self.a(x)), [y, x]


def test_summary(capsys):
    ready(chain(nn.Dense(3), nn.Dense(2))).summary(np.ones((1, 4)))
    rows = [
        "               Input                                      (1, 4)               0",
        "             Dense-1                                      (1, 3)              15",
        "             Dense-2                                      (1, 2)               8",
    ]
    assert capsys.readouterr().out == table(rows, 23, 23, 0, 23)


def test_summary_of_shared_parameters_and_several_values(capsys):
    ready(Tied()).summary(np.ones((2, 4)), np.ones((1,)))
    rows = [
        "               Input                                (2, 4), (1,)               0",
        "             Dense-1                                      (2, 4)              20",
        "             Dense-2                                      (2, 4)              20",
        "              Tied-3                      (2, 4), [(1,), (2, 4)]               7",
    ]
    assert capsys.readouterr().out == table(rows, 47, 44, 20, 27)


def test_summary_of_statistics_and_frozen_parameters(capsys):
    net = chain(nn.BatchNorm(), nn.Dense(2, in_units=3))
    net[1].bias.grad_req = "null"
    ready(net).summary(np.ones((2, 3)))
    out = capsys.readouterr().out
    assert "         BatchNorm-1                                      (2, 3)              12\n" in out
    assert "   Total params: 20\n   Trainable params: 12\n   Non-trainable params: 8\n" in out


def test_summary_refuses(capsys):
    net = chain(nn.Dense(3, activation="relu", prefix="dense33_"), kind=nn.HybridSequential)
    with pytest.raises(RuntimeError, match="'dense33_weight' has not been initialized"):
        net.summary(np.ones((1, 2)))
    net.initialize()
    net.hybridize()
    before = dict(net[0]._forward_hooks)  # the one that notes the first call
    with pytest.raises(AssertionError, match='^"dense33_relu" must not be hybridized to print summary.$'):
        net.summary(np.ones((1, 2)))
    assert not capsys.readouterr().out and net[0]._forward_hooks == before


# ------------------------------------------------------------------------------------------------ sizes told by use


class Own(nn.HybridBlock):
    """A block that says of its parameters' shapes what it knows, and how it uses them."""

    def __init__(self, use, **shapes):
        super().__init__(prefix="own_")
        self.use = use
        for name, shape in shapes.items():
            setattr(self, name, self.params.get(name, shape=shape, allow_deferred_init=True))

    def hybrid_forward(self, F, x, **own):
        return self.use(F, x, **own)


USES = [
    (lambda F, x, w: F.npx.fully_connected(x, w, None, 2, no_bias=True, flatten=False), {"w": (2, 0)}, {"w": (2, 4)}),
    (lambda F, x, w, b: F.npx.fully_connected(x, w, b, num_hidden=2), {"w": (0, 0), "b": (0,)}, {"w": (2, 4), "b": (2,)}),
    (lambda F, x, w: F.np.dot(x, w), {"w": (0, 5)}, {"w": (4, 5)}),
    (lambda F, x, w: F.np.dot(w, x), {"w": (5, 0)}, {"w": (5, 3)}),
    (lambda F, x, w: x @ w, {"w": (0,)}, {"w": (4,)}),
    (lambda F, x, w: F.npx.embedding(x, w, input_dim=9, output_dim=2), {"w": (0, 0)}, {"w": (9, 2)}),
    (lambda F, x, g, b: F.npx.layer_norm(x, g, b), {"g": (0,), "b": (0,)}, {"g": (4,), "b": (4,)}),
    (lambda F, x, g, b, m, v: F.npx.batch_norm(x, g, b, m, v, axis=1), dict.fromkeys("gbmv", (0,)),
     dict.fromkeys("gbmv", (4,))),
    (lambda F, x, w: x * w, {"w": (0,)}, {"w": (4,)}),
    (lambda F, x, w: w - x, {"w": (1, 0)}, {"w": (1, 4)}),
    (lambda F, x, w: F.np.maximum(x, w) + w.sum(), {"w": (0, 1)}, {"w": (3, 1)}),
    (lambda F, x, w: F.np.dot(x, w) - w[0] + (-w).T.sum() + w.dtype.itemsize, {"w": (0, 2)}, {"w": (4, 2)}),
    (lambda F, x, w, b: x * w / b, {"w": (0,), "b": (-1,)}, {"w": (4,), "b": (4,)}),
]  # fmt: skip


@pytest.mark.parametrize(("use", "given", "found"), USES)
def test_sizes_told_by_use(use, given, found):
    net, x = Own(use, **given), np.ones((3, 4))
    net.initialize(init.Constant(2))
    with autograd.record():
        y = net(x).sum()
    y.backward()
    assert {name: p.shape for name, p in net._reg_params.items()} == found
    again = Own(use, **found)
    again.initialize(init.Constant(2))
    with autograd.record():
        z = again(x).sum()
    z.backward()
    assert float(y) == float(z)
    for p, q in zip(net._reg_params.values(), again._reg_params.values(), strict=True):
        assert p.grad().tolist() == q.grad().tolist()
    first, unknown = net._resolutions[0], sum(n < 1 for shape in given.values() for n in shape)
    assert (first.before, first.input_shape) == (-1, (3, 4)) and len(net._resolutions) == unknown


@pytest.mark.parametrize(
    ("use", "operation"),
    [
        (lambda F, x, w: F.np.exp(w), "exp"),
        (lambda F, x, w: w * 2, "multiply"),
        (lambda F, x, w: w.sum(), "sum"),
        (lambda F, x, w: F.np.dot(x.sum(), w), "dot"),
        (lambda F, x, w: F.np.dot(w), "dot"),
        (lambda F, x, w: F.np.dot(None, w), "dot"),
    ],
)
def test_use_that_tells_nothing(use, operation):
    net = ready(Own(use, w=(0, 2)))
    with pytest.raises(DeferredInitializationError) as problem:
        net(np.ones((3, 4)))
    assert str(problem.value).startswith(
        f"Parameter 'own_w' has the unknown shape (-1, 2), and {operation} cannot tell"
    )
    assert "infer_shape" in str(problem.value) and net.w.state == "waiting"


@pytest.mark.parametrize("before", [lambda F, x, w: x, lambda F, x, w: F.np.dot(x, w)])
def test_sizes_are_told_through_f(before):
    net = ready(Own(lambda F, x, w: [before(F, x, w), np.exp(w)], w=(0, 2)))
    with pytest.raises(DeferredInitializationError, match=r"'own_w'.*through F, as in F.np.exp\(w\)"):
        net(np.ones((3, 4)))


def test_a_first_call_that_fails_tells_nothing():
    net = ready(Own(lambda F, x, w: F.np.dot(x, w) + np.ones(2), w=(0, 0)))
    net.w.shape = (-1, 2)
    net(np.ones((3, 4)))
    net = ready(Own(lambda F, x, w: F.np.dot(x, w) + np.ones(5), w=(0, 2)))
    with pytest.raises(ValueError):
        net(np.ones((3, 4)))
    assert net.w.state == "waiting" and net.w.shape == (-1, 2) and net._resolutions == []
