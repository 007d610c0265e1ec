"""Blocks and parameters: names, reprs, sharing, states, files, errors."""

import copy
import pickle

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, init, np
from d2lblocks.errors import DeferredInitializationError, MXNetError
from d2lblocks.gluon import nn


def chain(*layers):
    net = nn.Sequential()
    net.add(*layers)
    return net


def test_reprs():
    net = chain(nn.Dense(256, activation="relu", prefix="a_"), nn.Dense(10, prefix="b_"))
    assert repr(net) == "Sequential(\n  (0): Dense(-1 -> 256, Activation(relu))\n  (1): Dense(-1 -> 10, linear)\n)"
    text = "a_ (\n  Parameter a_weight (shape=(256, -1), dtype=float32)\n  Parameter a_bias (shape=(256,), dtype=float32)\n)"
    assert repr(net[0].params) == text
    assert repr(nn.Dropout(0.5)) == "Dropout(p = 0.5, axes=())"
    assert repr(nn.BatchNorm()) == (
        "BatchNorm(axis=1, eps=1e-05, momentum=0.9, fix_gamma=False, use_global_stats=False, in_channels=-1)"
    )
    assert repr(nn.LayerNorm()) == "LayerNorm(eps=1e-05, axis=-1, center=True, scale=True, in_channels=-1)"
    assert repr(gluon.loss.L2Loss()) == "L2Loss(batch_axis=0, w=1.0)"


def test_names_in_scopes():
    class Net(nn.Block):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            with self.name_scope():
                self.one = nn.Dense(2)
                self.two = nn.Dense(2)

    net = Net(prefix="p_")
    assert list(net.collect_params()) == ["p_dense0_weight", "p_dense0_bias", "p_dense1_weight", "p_dense1_bias"]


def test_select_matches_from_the_start():
    net = chain(nn.Dense(2, prefix="a_"), nn.Dense(2, prefix="b_"))
    assert list(net.collect_params(".*weight")) == ["a_weight", "b_weight"]
    assert list(net.collect_params("weight")) == []
    with pytest.raises(ValueError, match="no regular expression"):
        net.collect_params("(")


def test_states_and_events():
    net = chain(nn.Dense(3), nn.Dense(2))
    assert [p.state for p in net.collect_params().values()] == ["new"] * 4
    net.initialize()
    assert [p.state for p in net.collect_params().values()] == ["waiting", "ready"] * 2
    with pytest.raises(DeferredInitializationError, match="initialization was deferred"):
        net[0].weight.data()
    net(np.ones((5, 4)))
    assert net[0].weight.shape == (3, 4)
    event = net[1]._resolutions[0]
    assert (event.dim, event.before, event.after, event.input_shape) == (1, -1, 3, (5, 3))


def test_tied_layers():
    one = nn.Dense(3, in_units=3)
    two = nn.Dense(3, in_units=3, params=one.params)
    net = chain(one, two)
    net.initialize()
    assert one.weight is two.weight
    x = np.ones((1, 3))
    with autograd.record():
        y = net(x).sum()
    y.backward()
    w = one.weight.data().asnumpy()
    expected = onp.outer(w.sum(0), onp.ones(3)) + onp.outer(onp.ones(3), w @ onp.ones(3))
    onp.testing.assert_allclose(one.weight.grad().asnumpy(), expected, rtol=1e-5)


def test_constant():
    block = nn.Block(prefix="p_")
    c = block.params.get_constant("c", [[1, 2], [3, 4]])
    assert repr(c) == "Constant p_c (shape=(2, 2), dtype=float32)"
    block.initialize(init.One())
    assert c.data().tolist() == [[1, 2], [3, 4]]
    assert block.params.get_constant("c", [[1, 2], [3, 4]]) is c
    with pytest.raises(AssertionError, match="doesn't match new value"):
        block.params.get_constant("c", 3)


def test_whose_initializer_wins():
    net = chain(nn.Dense(2, in_units=2, weight_initializer=init.Constant(7)))
    net.initialize(init.One())
    assert net[0].weight.data().tolist() == [[7, 7], [7, 7]]
    assert net[0].bias.data().tolist() == [0, 0]
    net[0].weight.initialize(init.Zero(), force_reinit=True)
    assert not net[0].weight.data().any()


def test_initialize_twice_warns_once():
    net = chain(nn.Dense(2, in_units=2), nn.Dense(2, in_units=2))
    net.initialize()
    with pytest.warns(UserWarning, match="force_reinit=True") as seen:
        net.initialize()
    assert len(seen) == 1


def test_save_and_load(tmp_path):
    net = chain(nn.Dense(3, activation="tanh"), nn.Dense(2))
    net.initialize()
    x = np.random.normal(size=(4, 5))
    y = net(x)
    net.save_parameters(tmp_path / "net.params")
    clone = chain(nn.Dense(3, activation="tanh"), nn.Dense(2))
    clone.load_parameters(tmp_path / "net.params")
    assert (clone(x) == y).all()
    other = chain(nn.Dense(3), nn.Dense(7))
    with pytest.raises(AssertionError, match="shape incompatible") as problem:
        other.load_parameters(tmp_path / "net.params")
    assert "net.params" in str(problem.value) and "1.weight" in str(problem.value)
    assert [p.state for p in other.collect_params().values()] == ["new"] * 4  # nothing half done


def test_lone_layer_saves_without_a_dot(tmp_path):
    layer = nn.Dense(3, in_units=2)
    layer.initialize()
    layer.save_parameters(tmp_path / "f")
    clone = nn.Dense(3)
    clone.load_parameters(tmp_path / "f")
    assert (clone.weight.data() == layer.weight.data()).all()
    layer.collect_params().save(tmp_path / "g", layer.prefix)
    clone.collect_params().load(tmp_path / "g", restore_prefix=clone.prefix)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_share_nothing(copied):
    net = nn.HybridSequential()
    net.add(nn.Dense(3, activation="relu"), nn.Dense(2))
    net.initialize()
    x = np.ones((2, 4))
    y = net(x)
    clone = copied(net)
    assert (clone(x) == y).all()
    net[0].weight.data()[:] = 9
    assert (clone(x) == y).all()
    with autograd.record():
        loss = clone(x).sum()
    loss.backward()
    assert clone[1].bias.grad().tolist() == [2, 2]


def test_hooks_and_summary(capsys):
    net = chain(nn.Dense(3), nn.Dense(2))
    net.initialize()
    seen = []
    handle = net.register_forward_hook(lambda block, inputs, out: seen.append((inputs[0].shape, out.shape)))
    net(np.ones((1, 4)))
    handle.detach()
    net(np.ones((1, 4)))
    assert seen == [((1, 4), (1, 2))]
    net.summary(np.ones((1, 4)))
    text = capsys.readouterr().out
    assert "             Dense-1                                      (1, 3)              15\n" in text
    assert "             Dense-2                                      (1, 2)               8\n" in text
    assert "   Total params: 23\n" in text and "Unique parameters in model: 23\n" in text


def test_trainer_needs_a_fresh_gradient():
    net = chain(nn.Dense(1, in_units=1))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    with autograd.record():
        loss = net(np.ones((1, 1))).sum()
    loss.backward()
    before = net[0].bias.data().tolist()
    trainer.step(1)
    assert net[0].bias.data().tolist() == [before[0] - 0.5]
    with pytest.raises(UserWarning, match="has not been updated by backward"):
        trainer.step(1)
    with pytest.raises(ValueError, match="batch_size"):
        trainer.step(0)


def test_uninitialized_layer_is_named():
    with pytest.raises(MXNetError, match="'a_weight' has not been initialized"):
        nn.Dense(2, in_units=2, prefix="a_")(np.ones((1, 2)))
