"""Snapshot: the facts, their lookups, events in forward order, and what differs."""

import copy
import pickle

import numpy as onp
import pytest

from d2lblocks import autograd, np
from d2lblocks.gluon import nn, watch
from d2lblocks.graph import Program
from d2lblocks.kernels.program import walk
from d2lblocks.reprs import Snapshot, Tape
from tests.reprs.nets import Branching, Wrapped, deep, mlp, tied


def test_shapes_are_known_per_dimension():
    net = mlp()
    weight = Snapshot.of(net)["net[0].weight"]
    assert (weight.shape, weight.declared, weight.sizes) == ((256, None), (256, None), ("units", "in_units"))
    assert (weight.count, weight.bytes, weight.state, weight.init) == (None, None, "constructed", "from the net")
    net.initialize("normal")
    weight = Snapshot.of(net)["net[0].weight"]
    assert (weight.state, weight.init) == ("deferred", "Normal(sigma=0.01)")
    net(np.ones((2, 20)))
    weight = Snapshot.of(net)["net[0].weight"]
    assert (weight.shape, weight.declared, weight.state) == ((256, 20), (256, None), "ready")
    assert (weight.count, weight.bytes, weight.init) == (5120, 20480, "Normal(sigma=0.01)")


def test_rows_are_found_by_accessor_path_and_name():
    snap = Snapshot.of(mlp(called=True))
    assert snap["net[0].weight"] is snap["0.weight"] is snap["net_dense0_weight"]
    assert snap["net[1]"].input == (2, 256) and snap["net[1]"].output == (2, 10)
    assert "net[1].bias" in snap and "net[2].bias" not in snap
    with pytest.raises(KeyError, match=r"net\[0\].weight"):
        snap["net[0].wieght"]
    with pytest.raises(TypeError, match="takes a Block, got int"):
        Snapshot.of(3)


@pytest.mark.parametrize("net", [mlp(), tied(), deep(), Branching(), Wrapped(nn.Dense(2), nn.Dense(3))])
def test_accessors_are_python(net):
    for row in Snapshot.of(net):
        assert eval(row.accessor, {"net": net}).name == row.name
        if row.path:
            found = {**net._collect_params_with_prefix()}
            assert row.path not in found or found[row.path].name == row.name
    paths = [p.path for p in Snapshot.of(net).parameters if p.path is not None]
    assert paths == list(net._collect_params_with_prefix())


def test_counts():
    snap = Snapshot.of(tied())
    assert (snap.total, snap.shared, snap.unique, snap.unknown) == (36, 12, 24, 0)
    assert [p.tie for p in snap.parameters] == [1, 2, 1, 2, None, None]
    assert Snapshot.of(mlp()).unknown == 2
    layer = nn.Dense(2, in_units=2)
    twice = nn.Sequential()
    twice.add(layer, layer)
    assert (Snapshot.of(twice).total, Snapshot.of(twice).unique) == (12, 6)


def test_not_reached_by_forward():
    net = Branching()
    net.initialize()
    assert Snapshot.of(net)["net.idle.weight"].state == "deferred"
    net(np.ones((1, 2)))
    snap = Snapshot.of(net)
    assert snap["net.idle.weight"].state == "not reached" and snap["net.used.weight"].state == "ready"
    assert snap["net.idle"].input is None and snap["net.idle.bias"].state == "ready"
    net.initialize(force_reinit=True)  # starts anew
    assert Snapshot.of(net)["net.idle.weight"].state == "deferred" and Snapshot.of(net)["net"].output is None


def test_own_parameters_constants_and_unsaved_ones():
    snap = Snapshot.of(Branching(prefix="b_"))
    assert snap["net.scale"].path == "scale" and snap["net.half"].kind == "Constant"
    assert snap["net.half"].grad_req == "null"
    assert snap["b_loose"].path is None and snap["b_loose"].accessor == "net.params['b_loose']"


def test_events_tell_the_cause_in_forward_order():
    class Backward(nn.Block):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Dense(3), nn.Dense(4)

        def forward(self, x):
            return self.last(self.first(x))

    net = Backward()
    net.initialize()
    net(np.ones((2, 7)))
    assert [e.text for e in Snapshot.of(net).events] == [
        "input (2, 7) reached net.first, so in_units = 7",
        "input (2, 4) reached net.last, so in_units = 4",
    ]


def test_events_of_layers_without_names_for_their_sizes():
    class Scale(nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.gain = self.params.get("gain", shape=(1, 0), allow_deferred_init=True)

        def infer_shape(self, x):
            self.gain.shape = (1, x.shape[1])

        def hybrid_forward(self, F, x, gain):
            return x * gain

    net = Scale()
    net.initialize()
    net(np.ones((2, 5)))
    assert str(Snapshot.of(net).events[0]) == "input (2, 5) reached net, so gain.shape[1] = 5"
    norm = nn.BatchNorm()
    norm.initialize()
    norm(np.ones((2, 6)))
    assert {e.size for e in Snapshot.of(norm).events} == {"in_channels"}


def test_fused_children_have_the_shapes_of_their_layer():
    snap = Snapshot.of(mlp(called=True))
    assert snap["net[0].act"].fused and snap["net[0].act"].output == (2, 256)
    assert not snap["net[0]"].fused


def test_shapes_of_the_first_call_and_of_the_last_while_watched():
    net = mlp(called=True)
    net(np.ones((5, 20)))
    assert Snapshot.of(net)["net"].output == (2, 10)
    with watch.watching(net):
        net(np.ones((5, 20)))
        net(np.ones((7, 20)))
    assert Snapshot.of(net)["net"].output == (7, 10) and Snapshot.of(net)["net[0]"].input == (7, 20)
    assert not any(block._forward_hooks for block in (net, net[0], net[0].act, net[1]))


def test_noting_does_not_change_results():
    net = mlp(called=True)
    x = np.random.normal(size=(3, 20))
    before = net(x)
    with watch.watching(net):
        assert (net(x) == before).all()


def test_several_inputs_and_outputs():
    class Pair(nn.Block):
        def forward(self, x, y):
            return [x, (y, 3)]

    net = Pair()
    net.initialize()
    net(np.ones(2), np.ones((3, 4)))
    row = Snapshot.of(net)["net"]
    assert row.input == ((2,), (3, 4)) and row.output == ((2,), ((3, 4), "int"))


def test_equal_nets_have_equal_snapshots():
    assert Snapshot.of(mlp(called=True)) == Snapshot.of(mlp(called=True))
    net = mlp(called=True)
    before = Snapshot.of(net)
    net[1].bias.data()[3] = 1
    assert Snapshot.of(net) != before


def test_a_copied_or_pickled_net_has_the_same_facts():
    net = mlp()
    net.initialize()
    assert Snapshot.of(copy.deepcopy(net)) == Snapshot.of(net)
    assert Snapshot.of(pickle.loads(pickle.dumps(net))) == Snapshot.of(net)


def test_columns():
    columns = Snapshot.of(mlp()).columns()
    assert columns["accessor"][:3] == ["net", "net[0]", "net[0].weight"] and columns["parent"][:3] == [None, 0, 1]
    assert columns["shape"][0] is None and len({len(column) for column in columns.values()}) == 1


def test_diff_of_a_first_batch():
    net = mlp()
    net.initialize()
    before = Snapshot.of(net)
    net(np.ones((2, 20)))
    diff = before.diff(Snapshot.of(net))
    assert diff["net[0].weight"]["shape"] == ((256, None), (256, 20))
    assert "net[0].weight.shape: (256, ?) -> (256, 20)  because input (2, 20) reached net[0], so in_units = 20" in repr(
        diff
    ).split("\n")
    assert not before.diff(before) and repr(before.diff(before)) == "no difference"


def test_diff_of_values_and_structure():
    net = mlp(called=True)
    before = Snapshot.of(net)
    net[1].bias.set_data(np.ones(10))
    net.add(nn.Dense(2))
    diff = before.diff(Snapshot.of(net))
    assert diff.added == ("net[2]", "net[2].weight", "net[2].bias") and [c.fact for c in diff.changes] == ["values"]
    assert "mean 0, std 0 -> mean 1, std 0" in repr(diff)
    assert Snapshot.of(net).diff(before).removed == diff.added


def test_values_of_odd_arrays():
    layer = nn.Dense(2, in_units=3)
    layer.initialize()
    layer.weight.data()[0] = np.array([onp.nan, onp.inf, 1])
    values = Snapshot.of(layer)["net.weight"].values
    assert values.nonfinite == 2 and sum(values.bins) == 4 and values.max == 1
    assert Snapshot.of(layer) == Snapshot.of(layer)


class Backwards(nn.Block):
    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Dense(1), nn.Dense(2)

    def forward(self, x):
        return self.last(self.first(x))


def test_the_order_of_calls_is_not_that_of_attributes():
    net = Backwards()
    assert [row.order for row in Snapshot.of(net).blocks] == [None] * 3
    net.initialize()
    net(np.ones((1, 3)))
    snap = Snapshot.of(net)
    assert (snap["net.first"].order, snap["net.last"].order, snap["net"].order) == (0, 1, 2)


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_block_in_several_places_has_a_call_for_each(hybrid):
    act = nn.Activation("relu")
    net = nn.HybridSequential()
    net.add(nn.Dense(8), act, nn.Dense(3), act)
    net.initialize()
    if hybrid:
        net.hybridize()

    def seen():
        return [(row.accessor, row.order, row.output) for row in Snapshot.of(net).blocks[1:]]

    def expected(n):
        return [("net[0]", 0, (n, 8)), ("net[1]", 1, (n, 8)), ("net[2]", 2, (n, 3)), ("net[3]", 3, (n, 3))]

    net(np.ones((2, 5)))
    assert seen() == expected(2)
    net(np.ones((7, 5)))
    assert seen() == expected(2)
    for n in (4, 6):  # the calls of the batch before are no calls of this one
        with watch.watching(net), autograd.record():
            y = net(np.ones((n, 5)))
        assert seen() == expected(n)
    if not hybrid:
        assert [step.block for step in Tape(y, net).steps] == ["net[0]", "net[1]", "net[2]", "net[3]"]
    if hybrid and walk.ready():
        for _ in range(2):
            net(np.ones((2, 5)))
        assert type(next(iter(net._programs.known.values()))) is Program


def test_a_block_in_two_places_that_is_called_in_one():
    class Once(nn.Block):
        def __init__(self):
            super().__init__()
            self.a = self.b = nn.Dense(2)

        def forward(self, x):
            return self.a(x)

    net = Once()
    net.initialize()
    net(np.ones((3, 4)))
    assert {row.output for row in Snapshot.of(net).blocks} == {(3, 2)}
    net(np.ones((5, 4)))
    net(np.ones((6, 4)))
    assert not net.a._forward_hooks and len(net.a._calls) == 2


def test_a_block_whose_repr_fails_is_shown_all_the_same():
    class Odd(nn.Block):
        def __repr__(self):
            raise ValueError("no words")

    assert Snapshot.of(Odd()).rows[0].text == "Odd, whose __repr__ fails: ValueError"
    assert "whose __repr__ fails" in Odd()._repr_html_()


def test_wrong_arguments_say_the_cure():
    net = nn.Dense(2, in_units=3)
    net.initialize()
    snap = Snapshot.of(net)
    for call, words in [
        (lambda: Tape(3), "an array that was recorded"), (lambda: Tape(np.ones(2), 3), "a Block as its net, got int"),
        (lambda: snap.diff(net), "later Snapshot, got Dense"), (lambda: snap[0], "found by a name"),
        (lambda: Snapshot.of(3), "takes a Block, got int"),
    ]:  # fmt: skip
        with pytest.raises(TypeError, match=words):
            call()
