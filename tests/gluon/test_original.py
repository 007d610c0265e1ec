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
