"""Trainers that are made of the wrong things, called at the wrong time, or with a wrong batch size."""

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, np
from d2lblocks.gluon import nn
from tests.errors.rows import check_table, covers, net_of, refused

X = np.ones((2, 3))


def trained(step, before=()):
    """Go through the parts `before` (forward and backward, or a step), then step(trainer), which must move no parameter."""

    def action():
        net = net_of(nn.Dense(4, in_units=3), nn.Dense(2, in_units=4))
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
        for part in before:
            if part == "step":
                trainer.step(1)
                continue
            with autograd.record():
                loss = (net(X) if part == "net" else net[part](np.ones((2, 4)))).sum()
            loss.backward()
        numbers = [p.data().tolist() for p in net.collect_params().values()]
        try:
            step(trainer)
        finally:
            assert [p.data().tolist() for p in net.collect_params().values()] == numbers

    return action


TABLE = [
    ("G18", trained(lambda trainer: trainer.step(1)), UserWarning, "_bias", "backward"),
    ("G18", trained(lambda trainer: trainer.step(1), ["net", "step"]), UserWarning, "_bias", "last `step`"),
    ("G18", trained(lambda trainer: trainer.step(1), [1]), UserWarning, "_bias", "subset"),
    ("G18", trained(lambda trainer: trainer.step(1), ["net", "step", 1]), UserWarning, "_bias", "subset"),
    *(("G18", trained(lambda trainer, b=b: trainer.step(b), ["net"]), ValueError, "batch_size", repr(b))
      for b in (0, -1, float("nan"), float("inf"))),
    *(("G18", trained(lambda trainer, b=b: trainer.step(b), ["net"]), TypeError, "batch_size", repr(b))
      for b in (None, "2", True)),
    ("G18", lambda: gluon.Trainer(net_of(nn.Dense(2)).collect_params(), "sgd").step(1), RuntimeError, "_weight"),
    ("G18", lambda: gluon.Trainer(net_of(nn.Dense(2), ready=False).collect_params(), "sgd").step(1), RuntimeError, "_bias"),
    ("G18", lambda: gluon.Trainer(3, "sgd"), ValueError, "list or dict of Parameters", "int"),
    ("G18", lambda: gluon.Trainer(nn.Dense(2), "sgd"), ValueError, "Dense", "collect_params()"),
    *(("G18", trained(lambda trainer, b=b: trainer.step(b), ["net"]), TypeError, "batch_size", repr(b))
      for b in (np.array([4.0]), np.ones((1, 1)))),
    ("G18", trained(lambda trainer: trainer.step(np.array(0.0)), ["net"]), ValueError, "batch_size", "0"),
    ("G18", lambda: gluon.Trainer({}, "foo"), ValueError, "foo", "adam"),
    ("G18", lambda: gluon.Trainer({}, "sgd", {"lr": 1}), TypeError, "SGD", "'lr'", "learning_rate"),
    ("G18", lambda: gluon.Trainer({}, "sgd", {"learning_rate": "0.1"}), TypeError, "'0.1'"),
    ("G18", lambda: gluon.Trainer({}, "sgd", [1]), TypeError, "dict", "list"),
]  # fmt: skip


@check_table(TABLE)
def test_refused(case):
    refused(*case[1:])


@covers("G18")
@pytest.mark.parametrize("none", [{}, [], nn.Flatten().collect_params(), net_of(nn.Dense(2)).params])
def test_a_trainer_of_nothing(none):
    with pytest.warns(UserWarning, match=r"no parameters to move.*collect_params\(\)"):
        gluon.Trainer(none, "sgd")


def test_a_parameter_of_whole_numbers_that_is_to_learn():
    """Refused as a whole: it is as it was before."""
    words = ("'w'", "int32", "grad_req='null'")
    p = gluon.Parameter("w", shape=(2,), dtype="int32", init="zeros")
    refused(p.initialize, TypeError, *words)
    refused(p.data, RuntimeError, "has not been initialized")
    fixed = gluon.Parameter("w", shape=(2,), dtype="int32", init="zeros", grad_req="null")
    fixed.initialize()
    refused(lambda: setattr(fixed, "grad_req", "write"), TypeError, *words)
    assert fixed.grad_req == "null" and fixed.data().tolist() == [0, 0]
    layer = net_of(nn.Dense(2, in_units=4))[0]
    refused(lambda: layer.cast("int32"), TypeError, layer.weight.name, "int32")
    assert layer.weight.dtype == layer.weight.data().dtype == onp.float32 and layer(np.ones((1, 4))).shape == (1, 2)


@covers("G18")
def test_all_stale_parameters_are_named():
    net = net_of(nn.Dense(1, in_units=2), nn.Dense(1, in_units=1))
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    names = sorted(net.collect_params())
    refused(lambda: trainer.step(1), UserWarning, names[0], "No gradient is fresh", "loss.backward()")
    with autograd.record():
        y = net[0](np.ones((1, 2)))
    y.backward()
    first, last = (p.name for p in (net[1].bias, net[1].weight))
    text = str(refused(lambda: trainer.step(1), UserWarning, f"`{first}`", f"Stale too: '{last}'."))
    assert net[0].weight.name not in text
