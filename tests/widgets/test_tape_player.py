"""The tape player's data: values, gradients and sources of every node, and a recording that is left as it was."""

import json

import numpy as onp
import pytest
from d2lblocks_widgets import tape
from d2lblocks_widgets.tape_player import TapePlayer
from d2lblocks_widgets.tape_player.describe import KEPT, describe, grouped, summary

from d2lblocks import autograd, gluon, init, np, npx, rng
from d2lblocks.errors import ArgumentError, ArrayTypeError, NotRecordedError
from d2lblocks.gluon import nn
from d2lblocks.gluon.watch import watching


def line():
    """The loss of a line, with arrays of a size that can be worked out by hand."""
    X, W, b, y = np.array([[1.0, 2], [3, 4]]), np.array([[0.5, -1]]), np.array([0.1]), np.array([[1.0], [2]])
    W.attach_grad(), b.attach_grad()
    with autograd.record():
        L = ((X @ W.T + b) - y) ** 2
    return L, {"X": X, "W": W, "b": b, "y": y}


def net_loss(*blocks, size=3):
    npx.random.seed(0)
    net = nn.Sequential()
    net.add(*blocks)
    net.initialize(init.Xavier())
    X, y = np.random.normal(0, 1, (4, size)), np.random.normal(0, 1, (4, 1))
    net(X)
    with watching(net), autograd.record():
        loss = gluon.loss.L2Loss()(net(X), y).mean()
    return loss, net


def node(told, formula):
    return next(one for one in told["nodes"] if one["formula"] == formula)


def leaf(told, name):
    return next(one for one in told["leaves"] if one["name"] == name)


def test_each_number_of_a_line():
    loss, names = line()
    told = describe(loss, names=names)
    assert [n["formula"] for n in told["nodes"]] == ["W.T", "X @ #1", "#2 + b", "#3 - y", "#4 ** 2"]
    X, W, b, y = (a.asnumpy() for a in names.values())
    error = X @ W.T + b - y
    g = 2 * error
    assert node(told, "#4 ** 2")["values"][0]["numbers"] == pytest.approx(list((error**2).ravel()), 1e-5)
    assert node(told, "#4 ** 2")["grads"][0]["numbers"] == [1, 1]
    assert node(told, "#3 - y")["grads"][0]["numbers"] == pytest.approx(list(g.ravel()), 1e-5)
    assert node(told, "X @ #1")["gives"][1]["numbers"] == pytest.approx(list((X.T @ g).ravel()), 1e-5)
    assert leaf(told, "W")["grad"]["numbers"] == pytest.approx(list((g.T @ X).ravel()), 1e-5)
    assert leaf(told, "b")["grad"]["numbers"] == pytest.approx([g.sum()], 1e-5)
    assert [(one["name"], one["kind"], one["grad"] is None) for one in told["leaves"]] == [
        ("W", "variable", False), ("X", "constant", True), ("b", "variable", False), ("y", "constant", True)
    ]  # fmt: skip
    power = told["ops"][node(told, "#4 ** 2")["op"]]
    assert power["arguments"] == ["x", "y"]
    assert power["forward"].startswith("def _power(x") and power["forward"].endswith("return onp.power(x, y)")
    assert power["rules"][0] == {"of": "x", "source": "lambda g, z, x, y: g * y * x ** (y - 1)"}


def test_without_names_leaves_are_numbered():
    loss, _ = line()
    assert [one["name"] for one in describe(loss)["leaves"]] == ["variable 1", "constant 1", "variable 2", "constant 2"]


def test_the_recording_and_every_gradient_stay():
    loss, net = net_loss(nn.Dense(4, activation="relu"), nn.Dense(1))
    with autograd.record():
        other = net(np.ones((2, 3))).sum()
    other.backward()  # into buffers that nobody has looked at: a rule might reuse these
    buffers = [p._data._node.grad for p in net.collect_params().values()]
    before = [(g.copy(), p._data._node.fresh) for g, p in zip(buffers, net.collect_params().values(), strict=True)]
    told = describe(loss, net)
    tape(loss, net)
    for g, p, (numbers, fresh) in zip(buffers, net.collect_params().values(), before, strict=True):
        assert p._data._node.grad is g and (g == numbers).all() and p._data._node.fresh == fresh
    assert not autograd.is_recording() and not autograd.is_training()
    loss.backward()
    for name in ("net[0].weight", "net[0].bias", "net[1].weight", "net[1].bias"):
        block, kind = net[int(name[4])], name.split(".")[1]
        assert leaf(told, name)["grad"]["numbers"] == pytest.approx(
            list(getattr(block, kind).grad().asnumpy().ravel()), rel=1e-5
        )


def test_blocks_and_parameters_have_accessors():
    loss, net = net_loss(nn.Dense(4), nn.Activation("relu"), nn.Dense(1))
    told = describe(loss, net)
    assert [n["block"] for n in told["nodes"][:4]] == ["net[0]", "net[1]", "net[2]", ""]
    assert {one["name"] for one in told["leaves"] if one["kind"] == "parameter"} == {
        "net[0].weight", "net[0].bias", "net[2].weight", "net[2].bias"
    }  # fmt: skip
    assert told["nodes"][0]["formula"].startswith("fully_connected(constant 1, net[0].weight, net[0].bias")


def test_gradients_of_a_shared_parameter_add_up():
    first = nn.Dense(3, in_units=3)
    loss, net = net_loss(first, nn.Dense(3, in_units=3, params=first.params), nn.Dense(1))
    told = describe(loss, net)
    weight = leaf(told, "net[0].weight")
    place = told["leaves"].index(weight)
    parts = [
        onp.array(n["gives"][i]["numbers"])
        for n in told["nodes"] for i, one in enumerate(n["inputs"]) if one.get("leaf") == place
    ]  # fmt: skip
    assert len(parts) == 2
    assert weight["grad"]["numbers"] == pytest.approx(list(parts[0] + parts[1]), rel=1e-4)


def test_one_array_read_twice_by_one_node():
    x = np.array([3.0])
    x.attach_grad()
    with autograd.record():
        y = x * x
    told = describe(y, names={"x": x})
    assert node(told, "x * x")["gives"] == [summary(onp.array([3.0])), summary(onp.array([3.0]))]
    assert leaf(told, "x")["grad"]["numbers"] == [6]


def test_several_outputs():
    A = np.array([[2.0, 0], [0, 3]])
    A.attach_grad()
    with autograd.record():
        U, s, Vt = np.linalg.svd(A)
        loss = s.sum()
    told = describe(loss, names={"A": A})
    svd = told["nodes"][0]
    assert svd["shapes"] == [[2, 2], [2], [2, 2]] and svd["values"][1]["numbers"] == [3, 2]
    assert svd["grads"][0] is None and svd["grads"][1]["numbers"] == [1, 1] and svd["grads"][2] is None
    assert told["nodes"][1]["formula"] == "sum(#1[1])"
    assert leaf(told, "A")["grad"]["numbers"] == pytest.approx([1, 0, 0, 1], abs=1e-6)


def test_parts_of_an_array_and_constants():
    x = np.arange(6).reshape(2, 3).astype("float32")
    x.attach_grad()
    with autograd.record():
        a, b = x[:, :1], x[0, 1:]
        loss = (np.concatenate([a, a]) * 2).sum() - b.max()
    formulas = [n["formula"] for n in describe(loss, names={"x": x})["nodes"]]
    assert formulas[:4] == ["x[:, :1]", "x[0, 1:]", "concatenate(#1, #1, axis=0)", "#3 * 2"]


class Twice(autograd.Function):
    """2 x, written by hand."""

    def forward(self, x):
        return x * 2

    def backward(self, dy):
        return dy * 2


class Broken(Twice):
    """Whose way back fails."""

    def backward(self, dy):
        raise ValueError("no way back")


def test_functions_of_ones_own():
    x = np.array([3.0])
    x.attach_grad()
    with autograd.record():
        y = Twice()(x) + 1
    told = describe(y, names={"x": x})
    op = told["ops"][0]
    assert (op["title"], op["told"], op["arguments"]) == ("Twice", "2 x, written by hand.", ["x"])
    assert "return dy * 2" in op["rules"][0]["source"] and told["nodes"][0]["formula"] == "Twice(x)"
    assert leaf(told, "x")["grad"]["numbers"] == [2] and told["problem"] == ""


def test_a_failing_rule_still_shows_what_was_computed():
    x = np.array([3.0])
    x.attach_grad()
    with autograd.record():
        y = Broken()(x) + 1
    told = tape(y, x=x).record
    assert told["problem"] == "The walk back stopped at #1: no way back"
    assert told["nodes"][0]["values"][0]["numbers"] == [6] and told["nodes"][0]["grads"][0]["numbers"] == [1]
    assert leaf(told, "x")["grad"] is None
    assert not autograd.is_recording() and not autograd.is_training()


def test_dropout_is_not_drawn_again():
    loss, net = net_loss(nn.Dense(50), nn.Dropout(0.5), nn.Dense(1))
    before = str(rng.get_state())
    told = describe(loss, net)
    values, grads = told["nodes"][1]["values"][0], told["nodes"][0]["grads"][0]
    assert told["ops"][told["nodes"][1]["op"]]["title"] == "dropout" and len(told["nodes"][1]["shapes"]) == 1
    assert values["n"] == grads["n"] == 200 and grads["bins"]
    assert str(rng.get_state()) == before


def test_small_arrays_keep_their_numbers_large_ones_their_bins():
    assert summary(onp.arange(KEPT))["numbers"] == list(range(KEPT))
    large = onp.linspace(-1, 1, 1000)
    told = summary(large)
    assert "numbers" not in told and sum(told["bins"]) == 1000 and (told["min"], told["max"]) == (-1, 1)
    assert told["std"] == pytest.approx(large.std(), 1e-5)
    assert summary(onp.array([onp.nan, onp.inf, -onp.inf, True]))["numbers"] == ["nan", "inf", "-inf", 1]
    assert summary(onp.full(100, onp.nan))["nonfinite"] == 100 and summary(onp.ones((0, 3)))["numbers"] == []


def test_everything_travels_as_json():
    x = np.array([0.0, 1.0])
    x.attach_grad()
    with autograd.record():
        loss = np.log(x).sum()
    json.dumps(describe(loss), allow_nan=False)


def test_a_thousand_nodes_are_summarised():
    x = np.ones(100)
    x.attach_grad()
    with autograd.record():
        z = x
        for _ in range(1000):
            z = z * 1.001
    told = describe(z)
    groups = told["groups"]
    assert len(told["nodes"]) == 1000 and 10 <= len(groups) <= 60
    assert groups[0]["first"] == 1 and groups[-1]["last"] == 1000
    assert all(a["last"] + 1 == b["first"] for a, b in zip(groups, groups[1:], strict=False))
    assert told["leaves"][0]["grad"]["mean"] == pytest.approx(1.001**1000, 1e-3)
    assert len(json.dumps(told)) < 1_000_000
    assert len(tape(z).fallback()) < 20_000


def test_groups_are_blocks_of_the_depth_that_has_room():
    inner = [f"net[{i}].body[{k}]" for i in range(10) for k in range(10) for _ in range(4)]
    assert [(g["label"], g["last"] - g["first"] + 1) for g in grouped(inner)][:2] == [
        ("net[0].body", 40),
        ("net[1].body", 40),
    ]
    assert [g["label"] for g in grouped(inner[:80])][:2] == ["net[0].body[0]", "net[0].body[1]"]
    wide = [f"net[{i}]" for i in range(152) for _ in range(2)] + [""] * 4
    assert len(grouped(wide)) <= 60 and grouped(wide)[0]["label"] == "net[0] … net[3]"
    assert grouped([""] * 5, most=2) == [{"label": "", "first": 1, "last": 3}, {"label": "", "first": 4, "last": 5}]


def test_what_has_no_recording_is_refused_with_the_cure():
    x = np.array([3.0])
    with pytest.raises(NotRecordedError, match="is on no tape.*record"):
        tape(x)
    x.attach_grad()
    with pytest.raises(NotRecordedError, match="is a variable itself"):
        tape(x)
    with autograd.record():
        y = (x * 2).sum()
    y.backward()
    with pytest.raises(
        NotRecordedError, match=r"Show it before backward\(\), or call loss.backward\(retain_graph=True\)"
    ):
        tape(y)
    with pytest.raises(ArrayTypeError, match="got list"):
        tape([y])
    with pytest.raises(ArrayTypeError, match="net must be a Block.*tape\\(loss, W=W\\)"):
        tape(y, x)
    with pytest.raises(ArrayTypeError, match="W must be an array"):
        tape(y, W=3)


def test_what_was_overwritten_is_refused():
    x = np.array([3.0])
    x.attach_grad()
    with autograd.record():
        y = x * x
    x[:] = 1
    with pytest.raises(NotRecordedError, match="changed in place"):
        tape(y)


def test_inside_record_nothing_is_recorded():
    x = np.array([3.0])
    x.attach_grad()
    with autograd.record():
        y = x * 2
        assert len(describe(y)["nodes"]) == 1 and autograd.is_recording()
        z = y + 1
    assert [n["formula"] for n in describe(z, names={"x": x, "y": y})["nodes"]] == ["x * 2", "#1 + 1"]
    assert describe(z, names={"y": y})["nodes"][0]["name"] == "y"


def test_the_module_is_small():
    assert len(TapePlayer._esm.encode()) <= 30_000


def test_traits_speak_of_nodes():
    loss, names = line()
    w = tape(loss, **names)
    assert (w.step, w.phase, w.selected) == (5, "forward", "#5")
    w.phase, w.step = "backward", 3
    assert w.selected == "#3" and w.node["formula"] == "#2 + b"
    w.selected = "W"
    assert w.node["kind"] == "variable" and w.step == 3
    w.step = 99
    assert w.step == 5
    with pytest.raises(ArgumentError, match="'#1' to '#5' or one of W, X, b, y; got '#6'"):
        w.selected = "#6"
    assert repr(w) == "tape(5 nodes, 4 leaves; backward, step 5)"


def test_readers_without_a_kernel_see_the_recording():
    loss, names = line()
    bundle = tape(loss, **names)._repr_mimebundle_()[0]
    assert "<b>Tape</b> of 5 nodes" in bundle["text/html"] and bundle["text/plain"].startswith("tape(5 nodes")
    loss, net = net_loss(*[nn.Dense(3, activation="tanh") for _ in range(140)], nn.Dense(1))
    html = tape(loss, net).fallback()
    assert len(html.encode()) <= 20_000 and "<script" not in html


def test_a_hybridized_net_is_one_node_that_tells_its_steps():
    net = nn.HybridSequential()
    net.add(nn.Dense(3, in_units=2, activation="relu"), nn.Dense(1, in_units=3))
    net.initialize()
    net.hybridize()
    for _ in range(2):
        with autograd.record():
            l = net(np.ones((4, 2))).sum()  # noqa: E741
    told = describe(l)
    assert [step["formula"].split("(")[0] for step in told["nodes"]][-1] == "sum"
    if net._programs.known:  # else there is no machine code, and it runs as it is written
        (op,) = [op for op in told["ops"] if "noted once" in op["told"]]
        assert op["forward"].count("fully_connected(v") == 2 and "return v" in op["forward"]
