"""Losses, functions and training runs against numbers that MXNet 1.9.1 printed for the same calls."""

import json
from pathlib import Path

import pytest

from d2lblocks import autograd, gluon, init, np, npx
from d2lblocks.gluon import nn

RECORDED = json.loads((Path(__file__).parents[1] / "reference" / "mxnet-1.9.1.json").read_text())
X = np.arange(12).reshape(3, 4) / 10 - 0.5
y = np.array([0, 2, 1.0])
SETTINGS = {
    "sgd": {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01},
    "nag": {"learning_rate": 0.1, "momentum": 0.9},
    "adam": {"learning_rate": 0.01},
    "rmsprop": {"learning_rate": 0.01},
    "adagrad": {"learning_rate": 0.1},
}


def first(x):
    return [float(v) for v in x.reshape(-1)[:6]]


@pytest.mark.parametrize(("call", "values"), RECORDED["functions"], ids=lambda v: v if isinstance(v, str) else "")
def test_function(call, values):
    found = eval(call, {"np": np, "npx": npx, "gluon": gluon, "X": X, "y": y})
    assert first(found) == pytest.approx(values, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("optimizer", SETTINGS)
def test_training(optimizer):
    npx.random.seed(1)
    net = nn.Sequential()
    net.add(nn.Dense(5, activation="tanh"), nn.BatchNorm(), nn.LayerNorm(), nn.Dense(3))
    net.initialize(init.Normal(0.5))
    trainer = gluon.Trainer(net.collect_params(), optimizer, SETTINGS[optimizer])
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    for _ in range(4):
        with autograd.record():
            l = loss(net(X), y)  # noqa: E741 - the book's name
        l.backward()
        trainer.step(3)
    weight, output, variance = RECORDED["training"][optimizer]
    assert first(net[3].weight.data()) == pytest.approx(weight, rel=1e-3, abs=1e-5)
    assert first(net(X)[0]) == pytest.approx(output, rel=1e-3, abs=1e-5)
    assert first(net[1].running_var.data()) == pytest.approx(variance, rel=1e-4)


GRADIENTS = [[1.0, -0.5], [0.1, 3.0], [0.0, -0.1], [2.0, 0.7], [-1.0, 0.3]]
RULES = {"sgd momentum": {"momentum": 0.9}, "nag": {"momentum": 0.5}}
WITH = {"plain": {}, "wd": {"wd": 0.3}, "clip": {"clip_gradient": 0.2},
        "both": {"wd": 0.3, "clip_gradient": 0.2, "rescale_grad": 0.5}}  # fmt: skip


def moved(rule, gradients, dtype="float32", **settings):
    """Move [1, -2] by these gradients, each that of two examples, the last with a smaller rate."""
    p = gluon.Parameter("p_weight", shape=(2,), dtype=dtype, init="zeros")
    p.initialize()
    p.set_data(np.array([1.0, -2.0], dtype=dtype))
    trainer = gluon.Trainer([p], rule, {"learning_rate": 0.1, **settings})
    for k, g in enumerate(gradients):
        if k == 3:
            trainer.set_learning_rate(trainer.learning_rate * 0.4)
        with autograd.record():
            l = (p.data() * np.array(g, dtype=dtype)).sum()  # noqa: E741
        l.backward()
        trainer.step(2)
    return [float(v) for v in p.data()]


@pytest.mark.parametrize("case", RECORDED["optimizers"])
def test_rules_with_decay_clipping_and_another_rate(case):
    rule, settings = case.split(", ")
    found = moved(rule.split()[0], GRADIENTS, **RULES.get(rule, {}), **WITH[settings])
    assert found == pytest.approx(RECORDED["optimizers"][case], rel=1e-4)


def test_nag_with_decay():
    # By the formula: the original feels the decay at the weight that it has just moved.
    w, v, eta = 1.0, 0.0, 0.1
    for k, (g, _) in enumerate(GRADIENTS):
        eta = 0.04 if k == 3 else eta
        way = eta * (g / 2 + 0.3 * w)
        v = 0.5 * v - way
        w += 0.5 * v - way
    assert moved("nag", GRADIENTS, momentum=0.5, wd=0.3)[0] == pytest.approx(w, rel=1e-5)


@pytest.mark.parametrize(
    ("rule", "settings", "expected"),
    [
        ("sgd", {}, 0.990234375),
        ("sgd", {"momentum": 0.9}, 0.9091796875),
        ("nag", {"momentum": 0.9}, 0.908203125),
        ("adam", {}, 0.990234375),
    ],
)
def test_multi_precision(rule, settings, expected):
    """100 steps of 0.0001, of which float16 sees nothing at 1."""
    p = gluon.Parameter("p", shape=(1,), dtype="float16", init="ones")
    p.initialize()
    trainer = gluon.Trainer([p], rule, {"learning_rate": 1e-4, "multi_precision": True, **settings})
    for _ in range(100):
        with autograd.record():
            l = p.data().sum()  # noqa: E741
        l.backward()
        trainer.step(1)
    assert float(p.data()[0]) == expected
    p.set_data(np.array([5.0]))
    with autograd.record():
        l = p.data().sum()  # noqa: E741
    l.backward()
    trainer.step(1)
    assert float(p.data()[0]) == pytest.approx(5, abs=0.01)
