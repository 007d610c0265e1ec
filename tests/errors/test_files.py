"""Bad files: the name is in every message, the net and the old file are as before, and nothing is left lying about."""

import gzip
import os
import pickle

import numpy as onp
import pytest

from d2lblocks import autograd, gluon, init, np, npx
from d2lblocks.gluon import nn
from tests.errors.rows import Own, covers, net_of, refused

X = np.ones((2, 3))


def ready():
    net = net_of(nn.Dense(4, in_units=3), nn.Dense(2, in_units=4))
    return net, [p.data().tolist() for p in net.collect_params().values()]


def unchanged(net, before):
    return [p.data().tolist() for p in net.collect_params().values()] == before


@covers("F1")
@pytest.mark.parametrize("name", ["missing", ".", "no/such/folder/file"])
def test_files_that_cannot_be_opened(tmp_path, name):
    net, before = ready()
    path = tmp_path / name
    actions = [lambda: net.load_parameters(path), lambda: npx.load(path)]
    if name != "missing":
        actions.append(lambda: net.save_parameters(path))
    for action in actions:
        with pytest.raises(OSError) as caught:
            action()
        assert str(path) in str(caught.value) and unchanged(net, before)
    assert list(tmp_path.iterdir()) == []


class Bomb:
    def __reduce__(self):
        return os.abort, ()


@covers("F2")
@pytest.mark.parametrize("damage", [
    lambda good: b"", lambda good: b"<html>404</html>", lambda good: b"PK\x03\x04" + bytes(60), gzip.compress,
    lambda good: pickle.dumps(Bomb()), lambda good: b"\x89HDF\r\n\x1a\n" + bytes(60),
    lambda good: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    *(lambda good, n=n: good[:n] for n in (1, 8, 20, 31, 60)), lambda good: good[:-1],
    lambda good: good[:16] + b"\xff" * 8 + good[24:], lambda good: good[:40] + b"\xff" * 8 + good[48:],
])  # fmt: skip
def test_damaged_and_foreign_files(tmp_path, damage):
    net, before = ready()
    path = tmp_path / "net.params"
    net.save_parameters(path)
    path.write_bytes(damage(path.read_bytes()))
    for action in (lambda: net.load_parameters(path), lambda: npx.load(path)):
        refused(action, ValueError, "net.params")
        assert unchanged(net, before)


@covers("F3")
@pytest.mark.parametrize("other, words", [
    (lambda: net_of(nn.Dense(4, in_units=5), nn.Dense(2, in_units=4)), ["0.weight", "(4, 3)", "(4, 5)"]),
    (lambda: net_of(nn.Dense(4, in_units=3)), ["1.weight", "missing"]),
    (lambda: net_of(*[nn.Dense(4, in_units=n) for n in (3, 4, 4)]), ["2.weight", "not present"]),
    (lambda: net_of(nn.Dense(4, in_units=3, dtype="float64"), nn.Dense(2, in_units=4)), ["0.weight", "float64", "float32"]),
])  # fmt: skip
def test_files_of_another_net(tmp_path, other, words):
    net, before = ready()
    other().save_parameters(tmp_path / "f")
    for kind in (ValueError, AssertionError):
        refused(lambda: net.load_parameters(tmp_path / "f"), kind, str(tmp_path / "f"), *words)
    assert unchanged(net, before)


@covers("F3")
def test_names_are_told_as_they_stand_in_the_file(tmp_path):
    own = Own()
    own.initialize()
    own.save_parameters(tmp_path / "f")
    for net in (net_of(Own()), net_of(nn.Dense(2), ready=False), nn.Dense(2)):
        text = str(
            refused(lambda net=net: net.load_parameters(tmp_path / "f"), ValueError, "contains parameters: 'w', 'c'.")
        )
        assert net.name not in text


@covers("F3")
def test_a_list_of_names_is_told_once_and_can_be_read(tmp_path):
    net_of(*[nn.Dense(1, in_units=1) for _ in range(300)]).save_parameters(tmp_path / "f")
    net = net_of(net_of(*[nn.Dense(1, in_units=1) for _ in range(200)], ready=False))
    words = "'0.0.weight' is missing", "'0.0.bias'", "(600 in all)", "(399 in all)", "'0.weight' loaded", "(400 in all)"
    text = str(refused(lambda: net.load_parameters(tmp_path / "f"), ValueError, *words))
    assert text.count("which contains") == 2 and len(text) < 2500
    net_of(*[nn.Dense(2, in_units=1) for _ in range(300)]).save_parameters(tmp_path / "g")
    flat = net_of(*[nn.Dense(1, in_units=1) for _ in range(300)])
    text = str(refused(lambda: flat.load_parameters(tmp_path / "g"), ValueError, "and 580 more"))
    assert text.count("\n") == 20


@covers("F4")
@pytest.mark.parametrize("arrays", [[X, X], [], {}])
def test_arrays_without_names(tmp_path, arrays):
    net, before = ready()
    npx.save(str(tmp_path / "f"), arrays)
    refused(lambda: net.load_parameters(tmp_path / "f"), ValueError, str(tmp_path / "f"))
    assert unchanged(net, before)


@covers("F4")
def test_list_as_initial_values(tmp_path):
    npx.save(str(tmp_path / "f"), [X])
    refused(lambda: init.Load(str(tmp_path / "f")), ValueError, str(tmp_path / "f"), "by name")


@covers("F5")
@pytest.mark.parametrize("initialized", [False, True])
def test_saving_what_has_no_numbers_yet(tmp_path, initialized):
    net = net_of(nn.Dense(2, prefix="d_"), ready=initialized)
    path = tmp_path / "f"
    kind = gluon.parameter.DeferredInitializationError if initialized else RuntimeError
    refused(lambda: net.save_parameters(path), kind, "d_weight")
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"old")
    refused(lambda: net.save_parameters(path), kind, "d_weight")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


class Unused(nn.Block):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Dense(2), nn.Dense(2)

    def forward(self, x):
        return self.a(x)


@covers("F5", "G18")
def test_a_block_that_forward_never_reaches_is_named(tmp_path):
    net = Unused()
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd")
    kind, weight = gluon.parameter.DeferredInitializationError, net.b.weight.name
    for action in (lambda: net.save_parameters(tmp_path / "f"), lambda: trainer.step(1)):
        assert "reached" not in str(refused(action, kind, "_weight", "pass one batch"))
    with autograd.record():
        y = net(X)
    refused(lambda: net.save_parameters(tmp_path / "f"), kind, weight, "never reached the block of 'b.weight'")
    y.backward()
    refused(lambda: trainer.step(1), kind, weight, "never reached the block")
    assert list(tmp_path.iterdir()) == []


@covers("F6")
def test_full_names_of_another_run(tmp_path):
    one, other = nn.Dense(2, in_units=3, prefix="dense6_"), nn.Dense(2, in_units=3, prefix="dense8_")
    for layer in (one, other):
        layer.initialize()
    one.collect_params().save(tmp_path / "f")
    before = other.weight.data().asnumpy()
    refused(
        lambda: other.collect_params().load(tmp_path / "f"),
        ValueError,
        "dense8_weight",
        "dense6_weight",
        "save_parameters",
    )
    assert onp.array_equal(other.weight.data().asnumpy(), before)
