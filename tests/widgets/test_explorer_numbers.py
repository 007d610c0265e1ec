"""The numbers of arrays in the explorer: what it makes of them, and when it looks."""

import numpy as onp
import pytest
from d2lblocks_widgets import explore
from d2lblocks_widgets._bins import FINE
from d2lblocks_widgets.explorer.numbers import CELLS, cells, layers_of

from d2lblocks import autograd, gluon, init, np
from d2lblocks.gluon import nn
from tests.reprs.nets import mlp
from tests.widgets.test_explorer import deep, forward


def test_a_large_array_is_sampled_and_says_so():
    facts = layers_of(onp.arange(3 << 20, dtype="f4"))
    assert facts["every"] == 3 and facts["size"] == 3 << 20 and facts["n"] == 1 << 20


def test_only_finite_numbers_count_as_left_out():
    raw = onp.full(2_000_000, onp.nan, "f4")
    raw[::4] = 1
    facts = layers_of(raw)
    assert (facts["every"], facts["size"], facts["n"], facts["nonfinite"]) == (1, 500_000, 500_000, 1_500_000)


@pytest.mark.parametrize(
    ("shape", "rows", "columns", "step"),
    [((), 1, 1, [1, 1]), ((5,), 1, 5, [1, 1]), ((256, 20), 128, 20, [2, 1]), ((8, 3, 5, 5), 8, 75, [1, 1]),
     ((1, 10_000), 1, 3334, [1, 3]), ((1000, 1000), 63, 63, [16, 16])],
)  # fmt: skip
def test_cells_of_a_heat_map(shape, rows, columns, step):
    raw = onp.random.default_rng(0).normal(size=shape).astype("f4")
    made = cells(raw)
    assert (made["rows"], made["columns"], made["step"]) == (rows, columns, step)
    assert rows * columns <= CELLS
    got = onp.frombuffer(made["cells"], "<f4").reshape(rows, columns) * made["scale"]
    whole = raw.reshape(raw.shape[0], -1) if raw.ndim > 1 else raw.reshape(1, -1)
    onp.testing.assert_allclose(got, whole[:: step[0], :: step[1]], rtol=1e-6)


def test_cells_that_are_not_finite():
    made = cells(onp.array([onp.nan, onp.inf, -2.0, 1e300]))
    assert made["scale"] == 1e300
    assert onp.isfinite(onp.frombuffer(made["cells"], "<f4")).tolist() == [False, False, True, True]
    assert cells(onp.zeros(3))["scale"] == 0 and cells(onp.zeros((0, 3))) is None


def test_histograms_of_a_small_net_come_unasked(shell):
    net = mlp()
    w = explore(net)
    assert w.hists == {}
    shell.run(lambda: net.initialize(init.Xavier()))
    shell.run(lambda: forward(net, 2, 20))
    weight = w.hists["2"]
    counts = onp.frombuffer(weight["values"]["fine"], "<u4")
    assert counts.sum() == weight["values"]["n"] == 5120 and len(counts) == FINE
    assert weight["theory"]["bound"] == pytest.approx((3 / 138) ** 0.5) and weight["law"] == "U(±0.147)"
    assert set(w.maps) == set(w.hists) == {"2", "3", "5", "6"}


def test_a_large_net_is_asked():
    net = deep()
    net.initialize()
    forward(net, 2, 8)
    w = explore(net)
    w.want = [3, 4, 6]
    assert set(w.hists) == set(w.maps) == {str(i) for i in (3, 4, 6)} | {str(w._row_of(w.selected))}


def test_gradient_and_previous_values(shell):
    net = nn.Dense(2, in_units=3)
    net.initialize(init.One())
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    w = explore(net)

    def backward():
        with autograd.record():
            out = forward(net, 1, 3).sum()
        out.backward()

    assert set(w.hists["1"]) == {"values", "theory", "law"}
    shell.run(backward)
    assert w.hists["1"]["gradient"]["mean"] == 1.0 and "previous" not in w.hists["1"]
    shell.run(lambda: trainer.step(1))
    assert (w.hists["1"]["values"]["mean"], w.hists["1"]["previous"]["mean"]) == (0.5, 1.0)
    shell.run(net.collect_params().zero_grad)
    assert w.hists["1"]["gradient"]["max"] == 0.0

    def nothing_comes_through():
        with autograd.record():
            out = (forward(net, 1, 3) * 0).sum()
        out.backward()

    shell.run(nothing_comes_through)
    assert w.hists["1"]["gradient"]["max"] == 0.0


def test_numbers_written_in_place_are_seen_after_the_cell(shell):
    net = nn.Dense(2, in_units=3)
    net.initialize()
    w = explore(net)

    def write():
        net.weight.data()[:] = 7

    shell.run(write)
    assert w.hists["1"]["values"]["mean"] == 7


# ------------------------------------------------------------------------------------------------ when it looks


def stepped(net, trainer):
    with autograd.record():
        out = net(np.ones((1, 3))).sum()
    out.backward()
    trainer.step(1)


def test_zeros_that_came_stay_a_gradient_after_the_step(shell):
    """A unit of relu that is dead: the case for which people look at gradients."""
    net = nn.Dense(2, in_units=3, activation="relu")
    net.initialize(init.One())
    net.bias.set_data(np.full((2,), -100))
    trainer, w = gluon.Trainer(net.collect_params(), "sgd"), explore(net)

    assert "gradient" not in w.hists["1"]
    shell.run(lambda: stepped(net, trainer))
    assert w.hists["1"]["gradient"]["min"] == w.hists["1"]["gradient"]["max"] == 0.0


def test_a_gradient_that_is_written_by_hand(shell):
    net = nn.Dense(2, in_units=3)
    net.initialize(init.One())
    trainer, w = gluon.Trainer(net.collect_params(), "sgd"), explore(net)

    shell.run(lambda: stepped(net, trainer))
    assert w.hists["1"]["gradient"]["mean"] == 1.0
    shell.run(lambda: net.weight.grad().__setitem__(slice(None), 7))
    assert w.hists["1"]["gradient"]["mean"] == 7.0
    shell.run(lambda: net.weight.grad().__imul__(2))
    assert w.hists["1"]["gradient"]["mean"] == 14.0


def test_previous_values_only_if_it_is_known_which(shell):
    net = nn.Sequential()
    net.add(*(nn.Dense(1, in_units=1) for _ in range(70)))
    net.initialize(init.Constant(5))
    w = explore(net)
    first, weight = str(w._row_of("net[0].weight")), net[0].weight
    w.selected = "net[0].weight"
    w.refresh()
    shell.run(lambda: weight.set_data(np.full((1, 1), 10)))
    assert w.hists[first]["previous"]["mean"] == 5
    w.want, w.selected = [], "net[1].weight"
    shell.run(lambda: weight.set_data(np.full((1, 1), 20)))
    shell.run(lambda: weight.set_data(np.full((1, 1), 30)))
    w.selected = "net[0].weight"
    w.want = [int(first)]
    assert w.hists[first]["values"]["mean"] == 30 and "previous" not in w.hists[first]
    shell.run(lambda: weight.set_data(np.full((1, 1), 40)))
    assert w.hists[first]["previous"]["mean"] == 30
