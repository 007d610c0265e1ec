"""Nets that the original saved: ours takes the file, computes what the original computed, and writes the same bytes."""

import json
from pathlib import Path

import numpy as onp
import pytest

from d2lblocks import np, npx
from d2lblocks.gluon import nn

FOLDER = Path(__file__).resolve().parent.parent / "reference" / "params"
ENTRIES = [e for e in json.loads((FOLDER / "manifest.json").read_text())["files"] if "net" in e]


class MLP(nn.Block):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Dense(256, activation="relu")
        self.output = nn.Dense(10)

    def forward(self, x):
        return self.output(self.hidden(x))


class MyDense(nn.Block):
    def __init__(self):
        super().__init__()
        self.weight = self.params.get("weight", shape=(5, 3))
        self.bias = self.params.get("bias", shape=(3,))

    def forward(self, x):
        return npx.relu(np.dot(x, self.weight.data()) + self.bias.data())


class Fancy(nn.Block):
    def __init__(self):
        super().__init__()
        self.rand_weight = self.params.get_constant("rand_weight", np.random.uniform(size=(20, 20)))
        self.dense = nn.Dense(20, activation="relu")

    def forward(self, x):
        return self.dense(npx.relu(np.dot(self.dense(x), self.rand_weight.data()) + 1))


class Nest(nn.Block):
    def __init__(self):
        super().__init__()
        self.net = stack(nn.Dense(64, activation="relu"), nn.Dense(32, activation="relu"))
        self.dense = nn.Dense(16, activation="relu")

    def forward(self, x):
        return self.dense(self.net(x))


def stack(*layers):
    net = nn.Sequential()
    net.add(*layers)
    return net


def tied():
    shared = nn.Dense(8, activation="relu")
    first, third = nn.Dense(8, activation="relu"), nn.Dense(8, activation="relu", params=shared.params)
    return stack(first, shared, third, nn.Dense(10))


NETS = {
    "mlp": MLP,
    "single_dense": lambda: nn.Dense(5),
    "mydense": MyDense,
    "fancy": Fancy,
    "chimera": lambda: stack(Nest(), nn.Dense(20), Fancy()),
    "tied": tied,
    "seq12": lambda: stack(*[nn.Dense(4, activation="tanh") for _ in range(12)]),
    "batchnorm": lambda: stack(nn.Dense(3, in_units=3), nn.BatchNorm(in_channels=3), nn.Dense(2, in_units=3)),
    "nobias": lambda: stack(nn.Dense(4, use_bias=False), nn.Dense(2, use_bias=False)),
}


def numbers(told):
    return onp.frombuffer(bytes.fromhex(told["hex"]), "<f4").reshape(told["shape"])


def test_no_net_is_left_out():
    assert {e["net"] for e in ENTRIES} == set(NETS) and len(ENTRIES) == 10


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["file"])
def test_net(entry, tmp_path):
    net = NETS[entry["net"]]()
    net.load_parameters(str(FOLDER / entry["file"]))
    onp.testing.assert_allclose(
        net(np.array(numbers(entry["input"]))).asnumpy(), numbers(entry["output"]), rtol=1e-5, atol=1e-6
    )
    net.save_parameters(str(tmp_path / "again"), deduplicate="dedup" in entry["file"], checksum=False)
    assert (tmp_path / "again").read_bytes() == (FOLDER / entry["file"]).read_bytes()
